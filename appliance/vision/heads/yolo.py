"""Ultralytics' two heads: a confidence for each class at every anchor, or rows that are objects already.

Source: what Ultralytics' `non_max_suppression` does with them (best class only, class-aware suppression).
"""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.rows import Ask, Rows, corners_of, surest_first
from appliance.vision.heads.suppress import suppress, suppress_oriented

_MOST_CANDIDATES = 30_000


def read_anchors(raw: Raw, ask: Ask) -> Rows:
    """YOLOv5u, YOLOv8 and YOLO11: (4 + classes + extra, anchors); x, y, width, height, a confidence per class, more."""
    table, ends = raw[0], 4 + ask.classes
    scores = table[4:ends]
    (candidates,) = np.nonzero(scores.max(axis=0) > ask.min_confidence)
    chosen = scores[:, candidates]
    class_ids = chosen.argmax(axis=0)
    confidences = np.take_along_axis(chosen, class_ids[None], axis=0)[0].astype(np.float32)
    boxes = table[:4, candidates].astype(np.float32)
    extra = table[ends:, candidates].astype(np.float32).T
    rows = Rows(boxes.T if ask.oriented else corners_of(*boxes), confidences, class_ids, extra)
    rows = surest_first(rows.take(ask.wants(class_ids)), _MOST_CANDIDATES)
    if ask.oriented:
        kept = suppress_oriented(rows.boxes_in, rows.extra[:, -1], rows.class_ids, ask.iou)
    else:
        kept = suppress(rows.boxes_in, rows.confidences, rows.class_ids, ask.iou)
    return rows.take(kept[: ask.most])


def read_end_to_end(raw: Raw, ask: Ask) -> Rows:
    """YOLOv10 and YOLO26: (boxes, 6 + extra); a box, its confidence, its class, more; already one row an object."""
    table = raw[0]
    table = table[table[:, 4] > ask.min_confidence].astype(np.float32)
    class_ids = table[:, 5].astype(np.intp)
    rows = Rows(table[:, :4], table[:, 4], class_ids, table[:, 6:])
    return surest_first(rows.take(ask.wants(class_ids)), ask.most)
