"""Heads with an objectness score next to the class scores: YOLOX and earlier YOLO versions.

Source: Ge et al. 2021 (arXiv:2107.08430) and Megvii's `YOLOXHead`. As in its evaluation, each cell counts for its best
class only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.ports import Raw
from appliance.vision.heads.grids import grid_cells
from appliance.vision.heads.output import Floats, HeadOptions, HeadOutput, Indices, check_numbers, corners_of
from appliance.vision.heads.suppress import suppress_duplicates

_STRIDES = (8, 16, 32)
_MAX_LOG_SIZE = 12.0
"""Maximum logarithm of a size in cells: larger than any image, and far from overflow."""


def read_objectness(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOX exported with decoding, YOLOv5 before `u`, YOLOv7: (places, 5 + classes) of x, y, width, height in px,
    objectness, class scores.
    """
    some, class_ids, confidences = _confident(raw[0], options)
    return _suppress(raw[0][some, :4].astype(np.float32), class_ids, confidences, options)


def read_yolox(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOX as exported by default: the same, but centres are offsets from the cell, in cells, and sizes are
    logarithms of cells.
    """
    some, class_ids, confidences = _confident(raw[0], options)
    corners, strides = (values[some] for values in grid_cells(options.input, _STRIDES))
    encoded = raw[0][some, :4].astype(np.float32)
    centres = encoded[:, :2] * strides[:, None] + corners
    extents = np.exp(np.minimum(encoded[:, 2:], _MAX_LOG_SIZE)) * strides[:, None]
    return _suppress(np.concatenate((centres, extents), axis=1), class_ids, confidences, options)


def _confident(table: NDArray[np.floating[Any]], options: HeadOptions) -> tuple[Indices, Indices, Floats]:
    check_numbers(table[:, 4])
    (some,) = np.nonzero(table[:, 4] > options.min_confidence)  # a confidence cannot exceed the objectness
    scores = table[some, 5:].astype(np.float32) * table[some, 4:5]
    confidences = scores.max(axis=1, initial=0.0)
    check_numbers(confidences)
    sure = confidences > options.min_confidence
    return some[sure], scores[sure].argmax(axis=1), confidences[sure].astype(np.float32)


def _suppress(boxes: Floats, class_ids: Indices, confidences: Floats, options: HeadOptions) -> HeadOutput:
    return suppress_duplicates(HeadOutput(corners_of(*boxes.T), confidences, class_ids, boxes[:, :0]), options)
