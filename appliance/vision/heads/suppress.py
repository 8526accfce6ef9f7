"""Non-maximum suppression: keep only the most confident of several boxes of the same object and class.

`suppress` and `suppress_oriented` take boxes by descending confidence and return the indices to keep, in that order.
Sources: greedy NMS as in torchvision; for oriented boxes Fast NMS (Bolya et al. 2019, arXiv:1904.02689) over the
probabilistic IoU of Llerena et al. 2021 (arXiv:2106.06072), as in Ultralytics.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.vision.heads.output import Floats, HeadOptions, HeadOutput, Indices, checked, surest_first

_MAX_CANDIDATES = 30_000
_MAX_ORIENTED = 2000
"""All pairs are compared: this many need 100 MB temporarily."""
_TINY = 1e-7


def suppress_duplicates(rows: HeadOutput, options: HeadOptions) -> HeadOutput:
    """The requested rows without duplicates, by descending confidence. Raises EngineError, see `checked`."""
    rows = checked(surest_first(rows.take(options.accepts(rows.class_ids)), _MAX_CANDIDATES))
    if options.oriented:
        kept = suppress_oriented(rows.boxes_in, rows.extra[:, -1], rows.class_ids, options.iou)
    else:
        kept = suppress(rows.boxes_in, rows.confidences, rows.class_ids, options.iou)
    return rows.take(kept[: options.max_detections])


def suppress(boxes: Floats, confidences: Floats, class_ids: Indices, iou: float) -> Indices:
    """NMS for boxes as two corners, (n, 4)."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    # OpenCV separates classes by an offset of the largest coordinate, which requires that none is negative.
    corners = boxes[:, :2] - boxes[:, :2].min()
    x1y1wh = np.concatenate((corners, boxes[:, 2:] - boxes[:, :2]), axis=1).astype(np.float64)
    # The stubs require sequences, but arrays work and avoid a Python object for each number.
    kept = cv2.dnn.NMSBoxesBatched(x1y1wh, confidences, class_ids.astype(np.int32), 0.0, iou)  # type: ignore[arg-type]
    return np.sort(np.asarray(kept, np.intp).reshape(-1))


def suppress_oriented(boxes: Floats, angles: Floats, class_ids: Indices, iou: float) -> Indices:
    """NMS for boxes as centre and size, (n, 4), rotated by `angles` (radians).

    A box is dropped if any more confident box of its class overlaps it, even a dropped one.
    """
    boxes, angles, class_ids = boxes[:_MAX_ORIENTED], angles[:_MAX_ORIENTED], class_ids[:_MAX_ORIENTED]
    overlapping = probabilistic_iou(boxes, angles) > iou
    same = class_ids[:, None] == class_ids[None, :]
    return np.flatnonzero(~np.triu(overlapping & same, k=1).any(axis=0))


def probabilistic_iou(boxes: Floats, angles: Floats) -> NDArray[np.float64]:
    """Pairwise overlap of oriented boxes, 0-1: one minus the Hellinger distance of their Gaussians."""
    x, y, width, height = boxes.astype(np.float64).T
    cos, sin = np.cos(angles.astype(np.float64)), np.sin(angles.astype(np.float64))
    long, short = width**2 / 12, height**2 / 12
    a, b, c = long * cos**2 + short * sin**2, long * sin**2 + short * cos**2, (long - short) * cos * sin

    def both(one: NDArray[np.float64]) -> NDArray[np.float64]:
        return one[:, None] + one[None, :]

    dx, dy = x[:, None] - x[None, :], y[:, None] - y[None, :]
    area = both(a) * both(b) - both(c) ** 2
    alone = np.clip(a * b - c**2, 0, None)
    # The Bhattacharyya distance has a term for the centres and one for the shapes.
    centres = (both(a) * dy**2 + both(b) * dx**2 - 2 * both(c) * dx * dy) / (area + _TINY) / 4
    shapes = np.log(area / (4 * np.sqrt(alone[:, None] * alone[None, :]) + _TINY) + _TINY) / 2
    distance = np.clip(centres + shapes, _TINY, 100)
    return np.asarray(1 - np.sqrt(1 - np.exp(-distance) + _TINY))
