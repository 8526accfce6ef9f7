"""Apply a camera's view to detections and to the scene gate's cells: zones, masks, filters by class.

Rules of this file:
- An object stands at the middle of the lower edge of its bounding box. It is in a zone or a mask if that point is.
- Zones, masks and shares are relative to the picture, so that a change of resolution does not move them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.values import CameraZone, ClassFilter, Detection, Outline, Point, Size, View

EVERY_CLASS = "*"
"""The name of the filter for classes without one of their own."""
_NO_FILTER = ClassFilter()
_SHIFT = 8
"""Fractional bits of the corners that OpenCV draws."""


def make_view(
    *,
    zones: Sequence[CameraZone] = (),
    masks: Sequence[Outline] = (),
    classes: Sequence[str] = (),
    filters: Mapping[str, ClassFilter] | None = None,
) -> View:
    """A view with its digest. `classes`: empty for all."""
    chosen = frozenset(classes) if classes else None
    by_class = tuple(sorted((filters or {}).items()))
    content = repr((tuple(zones), tuple(masks), sorted(classes), by_class))
    if not (zones or masks or chosen or by_class):
        return View()
    digest = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    return View(tuple(zones), tuple(masks), chosen, by_class, digest)


def apply(view: View, detections: tuple[Detection, ...], size: Size) -> tuple[Detection, ...]:
    """The detections that are reported, each with the zones that it stands in. `size`: the picture's."""
    if not view.digest:
        return detections
    filters = dict(view.filters)
    masks = [_contour(outline) for outline in view.masks]
    zones = [(zone, _contour(zone.outline)) for zone in view.zones]
    reported = []
    for detection in detections:
        if not _passes(detection, view, filters, size):
            continue
        foot = foot_of(detection, size)
        if any(_inside(mask, foot) for mask in masks):
            continue
        if zones:
            names = (zone.name for zone, contour in zones if _is_for(zone, detection) and _inside(contour, foot))
            detection = replace(detection, zones=tuple(names))
        reported.append(detection)
    return tuple(reported)


def foot_of(detection: Detection, size: Size) -> Point:
    """Where an object stands, in parts of the picture's width and height."""
    box = detection.box_px
    return (box.x1 + box.x2) / 2 / size.width, box.y2 / size.height


def covered(view: View, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which cells of a thumbnail (rows, columns) the masks cover."""
    height, width = shape
    drawn = np.zeros((height, width), np.uint8)
    scale = np.array([width, height], np.float64) * (1 << _SHIFT)
    for outline in view.masks:
        corners = np.round(np.asarray(outline) * scale - (1 << _SHIFT) / 2).astype(np.int32)  # a cell is at its middle
        cv2.fillPoly(drawn, [corners], (1,), shift=_SHIFT)
    return np.asarray(drawn, np.bool_)


def _passes(detection: Detection, view: View, filters: Mapping[str, ClassFilter], size: Size) -> bool:
    if view.classes is not None and detection.name not in view.classes:
        return False
    limits = filters.get(detection.name) or filters.get(EVERY_CLASS, _NO_FILTER)
    box = detection.box_px
    width, height = box.x2 - box.x1, box.y2 - box.y1
    share = min(1.0, width * height / (size.width * size.height))
    return (
        detection.confidence >= limits.min_confidence
        and width >= limits.min_width_px
        and height >= limits.min_height_px
        and limits.min_share <= share <= limits.max_share
    )


def _is_for(zone: CameraZone, detection: Detection) -> bool:
    return zone.classes is None or detection.name in zone.classes


def _contour(outline: Outline) -> NDArray[np.float32]:
    return np.asarray(outline, np.float32)


def _inside(contour: Any, point: Point) -> bool:
    """Whether a point is in a polygon or on its edge."""
    return bool(cv2.pointPolygonTest(contour, point, measureDist=False) >= 0)
