"""A tiny picture out of a JPEG for a fraction of its decoding: one pixel for each 8x8 block, its mean."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from appliance.values import Picture

CELLS_WIDE = 80
"""An object of 24x24 px in a 640 px input is three cells wide."""


def cells(picture: Picture) -> NDArray[np.float32] | None:
    """Mean colours (RGB, 0-255) of a grid of cells, (rows, columns, 3), whose longer side is CELLS_WIDE at the most.

    Not rounded: what is left of a camera's noise in a cell is less than one level. Colour costs nothing, since most of
    the time goes into reading the JPEG's codes, which hold all of it. None for what cannot be had cheaply: other
    formats, damaged pictures.
    """
    if not picture.plain_jpeg:
        return None
    try:
        blocks = simplejpeg.decode_jpeg(
            picture.data, "RGB", fastdct=True, fastupsample=True, min_width=1, min_height=1, strict=False
        )
    except ValueError:
        return None
    colours = np.asarray(blocks, np.float32)
    height, width = colours.shape[:2]
    scale = CELLS_WIDE / max(height, width)
    if scale < 1:
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        colours = np.asarray(cv2.resize(colours, shape, interpolation=cv2.INTER_AREA), np.float32)
    return colours
