"""Ultralytics' two heads: class confidences at every anchor, or one row for each object.

The results match Ultralytics' `non_max_suppression` (best class only, class-aware).
"""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.output import (
    HeadOptions,
    HeadOutput,
    best_class,
    check_finite,
    check_numbers,
    corners_of,
    surest_first,
)
from appliance.vision.heads.suppress import suppress_duplicates


def read_anchors(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOv5u, YOLOv8, YOLO11: (4 + classes + extra, anchors) of x, y, width, height, confidences, extra."""
    table, ends = raw[0], 4 + options.classes
    some, class_ids, confidences = best_class(table[4:ends], options)
    boxes = table[:4, some].astype(np.float32)
    extra = table[ends:, some].astype(np.float32).T
    return suppress_duplicates(
        HeadOutput(boxes.T if options.oriented else corners_of(*boxes), confidences, class_ids, extra), options
    )


def read_end_to_end(raw: Raw, options: HeadOptions) -> HeadOutput:
    """YOLOv10, YOLO26: (boxes, 6 + extra) of two corners, confidence, class, extra; NMS is not needed."""
    table = raw[0]
    check_numbers(table[:, 4:6])
    table = table[table[:, 4] > options.min_confidence].astype(np.float32)
    check_finite(table)  # before the classes become integers, which no infinity is
    class_ids = table[:, 5].astype(np.intp)
    rows = HeadOutput(table[:, :4], table[:, 4], class_ids, table[:, 6:])
    return surest_first(rows.take(options.accepts(class_ids)), options.max_detections)
