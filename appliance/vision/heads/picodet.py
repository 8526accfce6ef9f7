"""PicoDet, exported by PaddleDetection without built-in NMS.

Source: Yu et al. 2021 (arXiv:2111.00902), and Li et al. 2020 (arXiv:2006.04388) for the distances. Each cell counts for
its best class only.
"""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.grids import grid_cells
from appliance.vision.heads.output import Floats, HeadOptions, HeadOutput, best_class
from appliance.vision.heads.suppress import suppress_duplicates


def read_picodet(raw: Raw, options: HeadOptions) -> HeadOutput:
    """Decode the raw head: for each stride from 8 px on the confidences (cells, classes), then for each stride the
    distances (cells, 4 * bins), as the probability that a side is 0, 1, 2 … strides from the cell's centre.
    """
    half = len(raw) // 2
    some, class_ids, confidences = best_class(np.concatenate(raw[:half]).T, options)
    corners, strides = (values[some] for values in grid_cells(options.input, [8 << level for level in range(half)]))
    bins = np.arange(raw[half].shape[1] // 4, dtype=np.float32)
    likely = np.concatenate(raw[half:])[some].astype(np.float32).reshape(len(some), 4, len(bins))
    likely = np.exp(likely - likely.max(axis=2, keepdims=True))
    sides = (likely @ bins) / likely.sum(axis=2) * strides[:, None]
    centres = corners + strides[:, None] / 2
    boxes = np.concatenate((centres - sides[:, :2], centres + sides[:, 2:]), axis=1)
    return suppress_duplicates(HeadOutput(boxes, confidences, class_ids, _no_extra(boxes)), options)


def read_boxes_scores(raw: Raw, options: HeadOptions) -> HeadOutput:
    """Read decoded boxes, also of PP-YOLOE with `export.nms=False`: two corners, px (places, 4), and confidences
    (classes, places).
    """
    boxes, scores = raw
    some, class_ids, confidences = best_class(scores, options)
    chosen = boxes[some].astype(np.float32)
    return suppress_duplicates(HeadOutput(chosen, confidences, class_ids, _no_extra(chosen)), options)


def _no_extra(boxes: Floats) -> Floats:
    return boxes[:, :0]
