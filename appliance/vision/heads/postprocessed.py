"""Other networks with built-in NMS: only the order of their columns differs."""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.output import HeadOptions, HeadOutput, check_numbers
from appliance.vision.heads.yolo import read_end_to_end


def read_class_first(raw: Raw, options: HeadOptions) -> HeadOutput:
    """PaddleDetection with `export.nms`: (objects, 6) of class (negative: padding), confidence, two corners in px."""
    check_numbers(raw[0][:, 0])
    table = raw[0][raw[0][:, 0] >= 0]
    return read_end_to_end((table[:, [2, 3, 4, 5, 1, 0]],), options)


def read_boxes_labels(raw: Raw, options: HeadOptions) -> HeadOutput:
    """torchvision (SSDLite): boxes as two corners, px (objects, 4), integer classes and confidences, in any order."""
    boxes = next(output for output in raw if output.ndim == 2)
    labels = next(output for output in raw if output.ndim == 1 and output.dtype.kind in "iu")
    scores = next(output for output in raw if output.ndim == 1 and output.dtype.kind == "f")
    return read_end_to_end((np.concatenate((boxes, scores[:, None], labels[:, None]), axis=1),), options)
