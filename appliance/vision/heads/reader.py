"""The reader of a network: its head, task and classes combined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.ports import Raw
from appliance.values import Box, Detection, ResultFilter
from appliance.vision.heads import tasks
from appliance.vision.heads.heads import HEADS
from appliance.vision.heads.output import HeadOptions, HeadOutput
from appliance.vision.letterbox import Letterbox

TASKS = ("detect", "segment", "pose", "obb")
"""Supported tasks, by Ultralytics' names."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Converts one network's outputs to detections."""

    head: str
    """A key of HEADS."""
    classes: tuple[str, ...]
    iou: float
    """Boxes of one class that overlap more than this are the same object."""
    max_detections: int
    task: str = "detect"
    """One of TASKS."""
    keypoints: tuple[int, int] | None = None
    """For a pose: number of points, and numbers for each point."""

    def read(self, raw: Raw, place: Letterbox, wanted: ResultFilter) -> tuple[Detection, ...]:
        """Detections in image pixels, by descending confidence. Raises EngineError for NaN and infinity."""
        rows = HEADS[self.head](raw, self._options(place, wanted))
        if self.task == "obb":
            return self._oriented(rows, place)
        boxes_px = place.to_image(rows.boxes_in).tolist()
        outlines = tasks.outlines(rows, raw, place) if self.task == "segment" else [None] * len(boxes_px)
        poses = tasks.poses(rows, place, self.keypoints) if self.keypoints else [None] * len(boxes_px)
        return tuple(
            Detection(_name(self.classes, number), number, confidence, Box(*corners), outline, pose)
            for corners, confidence, number, outline, pose in zip(
                boxes_px, rows.confidences.tolist(), rows.class_ids.tolist(), outlines, poses, strict=True
            )
            if outline != ()  # as in Ultralytics, an empty mask is no object
        )

    def _oriented(self, rows: HeadOutput, place: Letterbox) -> tuple[Detection, ...]:
        corners = tasks.oriented_corners(rows, place)
        boxes_px = place.clip(np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)).tolist()
        return tuple(
            Detection(
                _name(self.classes, number), number, confidence, Box(*box), corners_px=tuple((x, y) for x, y in four)
            )
            for box, confidence, number, four in zip(
                boxes_px, rows.confidences.tolist(), rows.class_ids.tolist(), corners.tolist(), strict=True
            )
        )

    def _options(self, place: Letterbox, wanted: ResultFilter) -> HeadOptions:
        ids = None
        if wanted.classes is not None:
            ids = tuple(number for number, name in enumerate(self.classes) if name in wanted.classes)
        return HeadOptions(
            wanted.min_confidence, self.iou, self.max_detections, place.outer, len(self.classes), ids,
            oriented=self.task == "obb",
        )  # fmt: skip


def _name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if 0 <= number < len(classes) else f"class {number}"
