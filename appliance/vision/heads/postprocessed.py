"""Networks of others that give objects already, each once: only their columns stand in another order."""

from __future__ import annotations

import numpy as np

from appliance.ports import Raw
from appliance.vision.heads.output import HeadOptions, HeadOutput
from appliance.vision.heads.yolo import read_end_to_end


def read_class_first(raw: Raw, options: HeadOptions) -> HeadOutput:
    """PaddleDetection's, with `export.nms`: (objects, 6); class (negative: none), confidence, two corners in px."""
    table = raw[0][raw[0][:, 0] >= 0]
    return read_end_to_end((table[:, [2, 3, 4, 5, 1, 0]],), options)


def read_boxes_labels(raw: Raw, options: HeadOptions) -> HeadOutput:
    """torchvision's (SSDLite): boxes by two corners, px (objects, 4), whole-numbered classes, and
    confidences, in any order.
    """
    boxes = next(one for one in raw if one.ndim == 2)
    labels = next(one for one in raw if one.ndim == 1 and one.dtype.kind in "iu")
    scores = next(one for one in raw if one.ndim == 1 and one.dtype.kind == "f")
    return read_end_to_end((np.concatenate((boxes, scores[:, None], labels[:, None]), axis=1),), options)
