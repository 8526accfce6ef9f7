"""Heads that say of each place first whether there is an object at all, and then which: YOLOX and its elders.

Source: Ge et al. 2021 (arXiv:2107.08430) and Megvii's `YOLOXHead`. As in its evaluation, each place counts for its best
class only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.ports import Raw
from appliance.vision.heads.grids import grid_cells
from appliance.vision.heads.output import Floats, HeadOptions, HeadOutput, Indices, corners_of
from appliance.vision.heads.suppress import suppress_duplicates

_STRIDES = (8, 16, 32)
_WIDEST = 12.0
"""Logarithm of an extent, cells: beyond any picture, and far from where a number overflows."""


def read_objectness(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOX exported with its decoding, YOLOv5 before `u`, YOLOv7: (places, 5 + classes); x, y, width, height in px,
    whether there is an object, a confidence per class.
    """
    some, class_ids, confidences = _sure(raw[0], options)
    return _suppress(raw[0][some, :4].astype(np.float32), class_ids, confidences, options)


def read_yolox(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOX as its exporter writes it: the same, but a place counts cells from its own, and an extent is the logarithm
    of one.
    """
    some, class_ids, confidences = _sure(raw[0], options)
    corners, strides = (of[some] for of in grid_cells(options.input, _STRIDES))
    told = raw[0][some, :4].astype(np.float32)
    centres = told[:, :2] * strides[:, None] + corners
    extents = np.exp(np.minimum(told[:, 2:], _WIDEST)) * strides[:, None]
    return _suppress(np.concatenate((centres, extents), axis=1), class_ids, confidences, options)


def _sure(table: NDArray[np.floating[Any]], options: HeadOptions) -> tuple[Indices, Indices, Floats]:
    (some,) = np.nonzero(table[:, 4] > options.min_confidence)  # no class is surer than that there is an object
    scores = table[some, 5:].astype(np.float32) * table[some, 4:5]
    confidences = scores.max(axis=1, initial=0.0)
    sure = confidences > options.min_confidence
    return some[sure], scores[sure].argmax(axis=1), confidences[sure].astype(np.float32)


def _suppress(boxes: Floats, class_ids: Indices, confidences: Floats, options: HeadOptions) -> HeadOutput:
    return suppress_duplicates(HeadOutput(corners_of(*boxes.T), confidences, class_ids, boxes[:, :0]), options)
