"""Combine what was found in the parts of a picture with what was known before, without duplicates.

Rules of this file:
- Pure functions. An object that a look would have shown again is replaced by what this look found.
- A box that is cut by the edge of a crop is dropped: an overview or a neighbouring crop has the whole object.
- Of two boxes of one object the newer counts, then the one at finer detail, then the more confident.
- Two boxes of the same look are never compared: the network's own suppression has seen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.flow.crops.knowledge import KnownObject
from appliance.values import Box, Detection, Size
from appliance.vision.window import PicturePart

_EDGE_PX = 3.0
"""A box that ends this close to the edge of a crop, in pixels of the input, is cut."""
_SHOWN_IN = 64.0
"""An object of this many input pixels is found at any detail."""
_SAME_NOW, _SAME_BEFORE, _WITHIN = 0.5, 0.25, 0.7
"""IoU of two boxes of one object, found at once or one after the other; and the part of a box that is in the other."""


@dataclass(frozen=True, slots=True)
class Look:
    """The detections in one window, in the picture's pixels."""

    window: PicturePart
    found: tuple[Detection, ...]


def merge(known: Sequence[KnownObject], looks: Sequence[Look], now_s: float, picture: Size) -> tuple[KnownObject, ...]:
    """What is known after some looks at a frame, the most confident first."""
    left = [one for one in known if not any(shows_again(look.window, one) for look in looks)]
    fresh = [
        (number, KnownObject(one, now_s, look.window.scale))
        for number, look in enumerate(looks)
        for one in whole_objects(look, picture)
    ]
    rows = [(-1 - number, one) for number, one in enumerate(left)] + fresh
    rows.sort(key=lambda row: (-row[1].seen_s, -row[1].scale, -row[1].detection.confidence))
    kept = _without_duplicates(rows)
    return tuple(sorted(kept, key=lambda one: -one.detection.confidence))


def whole_objects(look: Look, picture: Size) -> list[Detection]:
    """The detections that are not cut by the window's edge."""
    area, margin = look.window.box_px, _EDGE_PX / look.window.scale

    def is_cut(box: Box) -> bool:
        return (
            (area.x1 > 0 and box.x1 < area.x1 + margin)
            or (area.y1 > 0 and box.y1 < area.y1 + margin)
            or (area.x2 < picture.width and box.x2 > area.x2 - margin)
            or (area.y2 < picture.height and box.y2 > area.y2 - margin)
        )

    return [one for one in look.found if not is_cut(one.box_px)]


def shows_again(window: PicturePart, known: KnownObject) -> bool:
    """Whether a look at this window would have shown an object again, if it were still there."""
    area, box = window.box_px, known.detection.box_px
    inside = box.x1 >= area.x1 - 1 and box.y1 >= area.y1 - 1 and box.x2 <= area.x2 + 1 and box.y2 <= area.y2 + 1
    size_in = float(np.sqrt(max(0.0, (box.x2 - box.x1) * (box.y2 - box.y1)))) * window.scale
    return inside and (known.scale <= window.scale * 1.05 or size_in >= _SHOWN_IN)


def _without_duplicates(rows: Sequence[tuple[int, KnownObject]]) -> list[KnownObject]:
    """Drop what an earlier row has already. The number of a row says which look it is from."""
    if len(rows) < 2:
        return [one for _, one in rows]
    boxes = corners([one.detection.box_px for _, one in rows])
    classes = np.array([one.detection.class_id for _, one in rows])
    seen_s = np.array([one.seen_s for _, one in rows])
    looks = np.array([number for number, _ in rows])
    overlap, within = overlaps(boxes, boxes)
    limit = np.where(seen_s[:, None] == seen_s[None], _SAME_NOW, _SAME_BEFORE)
    same = (classes[:, None] == classes[None]) & (looks[:, None] != looks[None])
    same &= (overlap > limit) | (within > _WITHIN) | (within.T > _WITHIN)
    left = np.ones(len(rows), bool)
    for number in range(len(rows)):
        if left[number]:
            left[number + 1 :] &= ~same[number, number + 1 :]
    return [one for (_, one), stays in zip(rows, left, strict=True) if stays]


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """IoU of each pair of boxes (n, 4: two corners), and the part of `a`'s box that is in `b`'s."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    whole = np.maximum(area_a[:, None] + area_b[None] - both, 1e-9)
    return both / whole, both / np.maximum(area_a[:, None], 1e-9)


def corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """(n, 4): two corners of each box."""
    return np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes], np.float64)
