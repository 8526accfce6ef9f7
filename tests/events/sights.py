"""Sights and events for tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from appliance.events.object_event import EventKind, ObjectEvent
from appliance.events.objects import EventRules, ObjectFollower, Sight
from appliance.values import Box, Detection, Size

SIZE = Size(1280, 720)
RULES = EventRules(on_delay_s=0.5, off_delay_s=5.0, update_s=10.0, min_confidence=0.5)


def person(
    x: float = 600, y: float = 500, confidence: float = 0.9, zones: tuple[str, ...] | None = None, class_id: int = 0
) -> Detection:
    """A person of 60x160 px, standing at (x, y)."""
    name = ("person", "car", "dog")[class_id]
    return Detection(name, class_id, confidence, Box(x - 30, y - 160, x + 30, y), zones=zones)


def follower(rules: EventRules = RULES) -> ObjectFollower:
    ids, numbers = itertools.count(1), itertools.count(1)
    return ObjectFollower(
        "gate", rules, run="run", new_id=lambda: f"run{next(ids)}", new_number=lambda: next(numbers)
    )  # fmt: skip


def sight(at_s: float, *detections: Detection, size: Size = SIZE) -> Sight:
    return Sight(detections, size, at_s, 1_700_000_000 + at_s)


def run(follower: ObjectFollower, frames: Sequence[Sight]) -> list[ObjectEvent]:
    return [event for one in frames for event in follower.see(one)]


def event(
    object_id: str, kind: EventKind, number: int = 1, camera: str = "gate", entered: tuple[str, ...] = ()
) -> ObjectEvent:
    return ObjectEvent(
        kind, object_id, number, "run", camera, "person", 0, 0.8, 0.9, Box(1, 2, 3, 4), SIZE, ("yard",), entered, (),
        (("yard", 1.5),), 1_700_000_000.0, 1_700_000_002.0, 2.0, reason="left" if kind == "end" else None,
    )  # fmt: skip
