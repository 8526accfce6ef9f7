"""Tell which detections of a frame continue which known objects, by class and place.

An object is looked for where it would be if it went on as before, and may have deviated from there the further, the
longer it has not been seen. At a frame or two a second boxes of a walker do not overlap from one frame to the next, so
nothing here depends on overlap (docs/decisions/0019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from appliance.values import Detection, Size

Place: TypeAlias = tuple[float, float, float]
"""The middle of a box and its diagonal, in picture heights, so that a change of resolution is no movement."""

_REACH = 0.35
"""How far the middle of a box may be from where it is expected in the next frame, in diagonals of the box."""
_REACH_PER_S = 1.2
"""The same for each second between the frames: a walker covers 0.8, a car at 30 km/h 1.8."""
_MOST_REACH = 2.0
_MOST_GROWTH = 3.0
"""Ratio of the diagonals of two boxes of one object."""
_GOES_ON_S = 2.0
"""An object that is not seen is expected to go on as before for this long."""

_FOLLOW, _FOLLOW_PER_S = 0.2, 0.5
"""How quickly the measured speed follows: boxes tremble, so that two frames 0.1 s apart say little about it."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where an object was seen last, and how it moves. `speed`: of its middle, picture heights per second.

    `name`: its class. Not the number, which is another class once another model is in use.
    """

    name: str
    place: Place
    at_s: float
    speed: tuple[float, float] = (0.0, 0.0)

    def after(self, detection: Detection, size: Size, at_s: float) -> Course:
        """The course after the object was seen again."""
        place, passed_s = place_of(detection, size), at_s - self.at_s
        if passed_s <= 0:
            return Course(self.name, place, self.at_s, self.speed)
        follow = min(1.0, _FOLLOW_PER_S * passed_s + _FOLLOW)
        speed = (
            self.speed[0] + follow * ((place[0] - self.place[0]) / passed_s - self.speed[0]),
            self.speed[1] + follow * ((place[1] - self.place[1]) / passed_s - self.speed[1]),
        )
        return Course(self.name, place, at_s, speed)


def course_of(detection: Detection, size: Size, at_s: float) -> Course:
    """The course of an object that was seen for the first time."""
    return Course(detection.name, place_of(detection, size), at_s)


def pairs(known: Sequence[Course], detections: Sequence[Detection], size: Size, at_s: float) -> list[tuple[int, int]]:
    """Which detection continues which known object, by their numbers; each at most once, the nearest pair first."""
    if not known or not detections:
        return []
    places = np.array([one.place for one in known])[:, np.newaxis]
    since_s = np.array([max(0.0, at_s - one.at_s) for one in known])[:, np.newaxis]
    goes_on = np.minimum(since_s, _GOES_ON_S)[..., np.newaxis] * np.array([one.speed for one in known])[:, np.newaxis]
    now = np.array([place_of(one, size) for one in detections])[np.newaxis]
    larger = np.maximum(np.maximum(places[..., 2], now[..., 2]), 1e-6)
    away = places[..., :2] + goes_on - now[..., :2]
    moved = np.hypot(away[..., 0], away[..., 1]) / larger
    classes = np.array([one.name for one in known])[:, np.newaxis]
    alike = (classes == np.array([one.name for one in detections])) & (
        larger <= _MOST_GROWTH * np.minimum(places[..., 2], now[..., 2])
    )
    knowns, numbers = np.nonzero(alike & (moved <= np.minimum(_MOST_REACH, _REACH + _REACH_PER_S * since_s)))
    found: list[tuple[int, int]] = []
    taken_known: set[int] = set()
    taken_number: set[int] = set()
    for place in np.argsort(moved[knowns, numbers], kind="stable").tolist():
        pair = int(knowns[place]), int(numbers[place])
        if pair[0] not in taken_known and pair[1] not in taken_number:
            found.append(pair)
            taken_known.add(pair[0])
            taken_number.add(pair[1])
    return found


def place_of(detection: Detection, size: Size) -> Place:
    """Where a detection is."""
    box, scale = detection.box_px, 1 / max(1, size.height)
    diagonal = math.hypot(box.x2 - box.x1, box.y2 - box.y1)
    return (box.x1 + box.x2) / 2 * scale, (box.y1 + box.y2) / 2 * scale, diagonal * scale
