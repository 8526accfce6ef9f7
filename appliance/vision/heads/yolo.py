"""Ultralytics' two heads: a confidence for each class at every anchor, or rows that are objects already.

Source: what Ultralytics' `non_max_suppression` does with them (best class only, class-aware suppression).
"""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.output import HeadOptions, HeadOutput, best_class, corners_of, surest_first
from appliance.vision.heads.suppress import suppress_duplicates


def read_anchors(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOv5u, YOLOv8 and YOLO11: (4 + classes + extra, anchors); x, y, width, height, a confidence per class, more."""
    table, ends = raw[0], 4 + options.classes
    some, class_ids, confidences = best_class(table[4:ends], options)
    boxes = table[:4, some].astype(np.float32)
    extra = table[ends:, some].astype(np.float32).T
    return suppress_duplicates(
        HeadOutput(boxes.T if options.oriented else corners_of(*boxes), confidences, class_ids, extra), options
    )


def read_end_to_end(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOv10 and YOLO26: (boxes, 6 + extra); a box, its confidence, its class, more; already one row an object."""
    table = raw[0]
    table = table[table[:, 4] > options.min_confidence].astype(np.float32)
    class_ids = table[:, 5].astype(np.intp)
    rows = HeadOutput(table[:, :4], table[:, 4], class_ids, table[:, 6:])
    return surest_first(rows.take(options.wants(class_ids)), options.most)
