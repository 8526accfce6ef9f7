"""Ultralytics' two heads: a confidence for each class at every anchor, or rows that are objects already.

Source: what Ultralytics' `non_max_suppression` does with them (best class only, class-aware suppression).
"""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.rows import Ask, Rows, best_class, corners_of, surest_first
from appliance.vision.heads.suppress import distinct


def read_anchors(raw: Raw, ask: Ask) -> Rows:
    """YOLOv5u, YOLOv8 and YOLO11: (4 + classes + extra, anchors); x, y, width, height, a confidence per class, more."""
    table, ends = raw[0], 4 + ask.classes
    some, class_ids, confidences = best_class(table[4:ends], ask)
    boxes = table[:4, some].astype(np.float32)
    extra = table[ends:, some].astype(np.float32).T
    return distinct(Rows(boxes.T if ask.oriented else corners_of(*boxes), confidences, class_ids, extra), ask)


def read_end_to_end(raw: Raw, ask: Ask) -> Rows:
    """YOLOv10 and YOLO26: (boxes, 6 + extra); a box, its confidence, its class, more; already one row an object."""
    table = raw[0]
    table = table[table[:, 4] > ask.min_confidence].astype(np.float32)
    class_ids = table[:, 5].astype(np.intp)
    rows = Rows(table[:, :4], table[:, 4], class_ids, table[:, 6:])
    return surest_first(rows.take(ask.wants(class_ids)), ask.most)
