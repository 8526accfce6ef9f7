"""PicoDet, exported by PaddleDetection without its own suppression of doubles.

Source: Yu et al. 2021 (arXiv:2111.00902), and Li et al. 2020 (arXiv:2006.04388) for the distances. Each place counts
for its best class only.
"""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.grids import cells
from appliance.vision.heads.rows import Ask, Floats, Rows, best_class
from appliance.vision.heads.suppress import distinct


def read_picodet(raw: Raw, ask: Ask) -> Rows:
    """Nothing is decoded yet. For each stride from 8 px on first the confidences (cells, classes), after all of these
    the distances (cells, 4 * bins): how likely each side lies 0, 1, 2 … strides from the cell's centre.
    """
    half = len(raw) // 2
    some, class_ids, confidences = best_class(np.concatenate(raw[:half]).T, ask)
    corners, strides = (of[some] for of in cells(ask.input, [8 << level for level in range(half)]))
    bins = np.arange(raw[half].shape[1] // 4, dtype=np.float32)
    likely = np.concatenate(raw[half:])[some].astype(np.float32).reshape(len(some), 4, len(bins))
    likely = np.exp(likely - likely.max(axis=2, keepdims=True))
    sides = (likely @ bins) / likely.sum(axis=2) * strides[:, None]
    centres = corners + strides[:, None] / 2
    boxes = np.concatenate((centres - sides[:, :2], centres + sides[:, 2:]), axis=1)
    return distinct(Rows(boxes, confidences, class_ids, _nothing(boxes)), ask)


def read_boxes_scores(raw: Raw, ask: Ask) -> Rows:
    """Decoded, as PP-YOLOE is too with `export.nms=False`: boxes by two corners, px (places, 4), and confidences
    (classes, places).
    """
    boxes, scores = raw
    some, class_ids, confidences = best_class(scores, ask)
    chosen = boxes[some].astype(np.float32)
    return distinct(Rows(chosen, confidences, class_ids, _nothing(chosen)), ask)


def _nothing(boxes: Floats) -> Floats:
    return boxes[:, :0]
