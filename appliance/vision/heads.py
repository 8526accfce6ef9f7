"""A network's raw output -> detections, one small function per kind of head.

Sources: Ultralytics' `non_max_suppression` (YOLOv8/11: best class only, class-aware NMS) and `construct_result`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.ports import Raw
from appliance.values import Box, Detection, Wanted
from appliance.vision.letterbox import Letterbox

_MOST_CANDIDATES = 30_000


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one network's output: its head, its class names, and what counts as the same object."""

    head: str
    """A key of HEADS."""
    classes: tuple[str, ...]
    iou: float
    max_detections: int

    def read(self, raw: Raw, place: Letterbox, wanted: Wanted) -> tuple[Detection, ...]:
        """Detections in the picture's own pixels, surest first."""
        boxes_in, confidences, class_ids = HEADS[self.head](raw, wanted.min_confidence, self.iou)
        if wanted.classes is not None:
            ids = [number for number, name in enumerate(self.classes) if name in wanted.classes]
            keep = np.isin(class_ids, ids)
            boxes_in, confidences, class_ids = boxes_in[keep], confidences[keep], class_ids[keep]
        boxes_px = place.to_image(boxes_in[: self.max_detections])
        return tuple(
            Detection(_name(self.classes, number), number, confidence, Box(*corners))
            for corners, confidence, number in zip(
                boxes_px.tolist(), confidences.tolist(), class_ids.tolist(), strict=False
            )
        )


Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]
"""Boxes (n, 4: x1 y1 x2 y2, input px), confidences (n), class ids (n), surest first."""


def read_anchors(raw: Raw, min_confidence: float, iou: float) -> Found:
    """YOLOv8 and YOLO11: (4 + classes, anchors); rows are x, y, width, height and a confidence per class."""
    scores = raw[4:]
    (candidates,) = np.nonzero(scores.max(axis=0) > min_confidence)
    chosen = scores[:, candidates]
    class_ids = chosen.argmax(axis=0)
    confidences = np.take_along_axis(chosen, class_ids[None], axis=0)[0].astype(np.float32)
    order = np.argsort(-confidences, kind="stable")[:_MOST_CANDIDATES]
    candidates, class_ids, confidences = candidates[order], class_ids[order], confidences[order]
    x, y, width, height = raw[:4, candidates].astype(np.float32)
    boxes_in = np.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), axis=1)
    keep = suppress(boxes_in, confidences, class_ids, iou)
    return boxes_in[keep], confidences[keep], class_ids[keep]


def read_end_to_end(raw: Raw, min_confidence: float, iou: float) -> Found:
    """YOLOv10 and YOLO26: (boxes, 6); rows are x1, y1, x2, y2, confidence, class, already one per object."""
    rows = raw[raw[:, 4] > min_confidence]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")].astype(np.float32)
    return rows[:, :4], rows[:, 4], rows[:, 5].astype(np.intp)


HEADS: dict[str, Callable[[Raw, float, float], Found]] = {"anchors": read_anchors, "end_to_end": read_end_to_end}


def suppress(
    boxes: NDArray[np.float32], confidences: NDArray[np.float32], class_ids: NDArray[np.intp], iou: float
) -> NDArray[np.intp]:
    """Class-aware non-maximum suppression of boxes that come surest first; the indices kept, in that order."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    # OpenCV moves each class apart by the largest coordinate; that parts them only if none is negative.
    corners = boxes[:, :2] - boxes[:, :2].min()
    x1y1wh = np.concatenate((corners, boxes[:, 2:] - boxes[:, :2]), axis=1).astype(np.float64)
    # Its stubs want sequences; it takes arrays, without making a Python object of each number.
    kept = cv2.dnn.NMSBoxesBatched(x1y1wh, confidences, class_ids.astype(np.int32), 0.0, iou)  # type: ignore[arg-type]
    return np.sort(np.asarray(kept, np.intp).reshape(-1))


def head_of(output: Sequence[int | None], classes: int, end_to_end: bool | None = None) -> str | None:
    """Which head has this output shape (without the batch; None: any), if one of ours does."""
    if len(output) != 2:
        return None
    rows, columns = output
    if columns == 6 and (end_to_end or rows != 4 + classes):
        return "end_to_end"
    if rows == 4 + classes or (rows is None and not end_to_end):
        return "anchors"
    return None


def _name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if 0 <= number < len(classes) else f"class {number}"
