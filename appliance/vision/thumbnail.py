"""A tiny grey image out of a JPEG for a fraction of its decoding: one pixel for each 8x8 block, its mean."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from appliance.values import Picture

CELLS_WIDE = 80
"""An object of 24x24 px in a 640 px input is three cells wide."""


def cells(picture: Picture) -> NDArray[np.float32] | None:
    """Mean brightness (0-255) of a grid of cells, (rows, CELLS_WIDE) or (CELLS_WIDE, columns) for an upright picture.

    None for what cannot be had cheaply: other formats, damaged pictures.
    """
    if not picture.plain_jpeg:
        return None
    try:
        grey = simplejpeg.decode_jpeg(picture.data, "GRAY", fastdct=True, min_width=1, min_height=1, strict=False)
    except ValueError:
        return None
    height, width = grey.shape[:2]
    scale = CELLS_WIDE / max(height, width)
    if scale < 1:
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.float32).reshape(grey.shape[0], grey.shape[1])
