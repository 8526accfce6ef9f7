"""Follow the objects in front of one camera: from detections in frame after frame to start, update and end.

Rules of this file:
- No clock, no I/O: the caller passes each frame's detections and its time. The same input gives the same events.
- An object is followed by its track where tracks are on, otherwise by class and place (`vision/association.py`). Two
  objects of a class that pass close to each other may be exchanged.
- Each object that starts ends, exactly once. One that is seen too briefly or too uncertainly never starts.
- A zone is entered or left with the second sight in a row, so that a box that trembles on the edge is no event.
- Only frames count: while a camera sends nothing, nothing leaves. After `silent_s` its objects end.
- One frame without an object that has started does not end it: the network misses one by chance, and the next frame of
  a slow camera may be ten seconds away.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from appliance.events.object_event import EndReason, EventKind, ObjectEvent
from appliance.values import Detection, Size
from appliance.vision.association import Course, course_of, pairs

MOST_OBJECTS = 64
"""Of one camera at a time. Further detections, the least certain ones, start no object."""
_SILENT_S = 30.0
_LEAST_MISSED = 2
"""Frames without an object that has started, after which it may be gone."""
_BINS = 100
"""Of the histogram that the median confidence comes from."""


@dataclass(frozen=True, slots=True)
class EventRules:
    """When an object starts and ends."""

    on_delay_s: float = 0.5
    """It must be seen for this long."""
    off_delay_s: float = 5.0
    """It ends when it has not been seen for this long, in two frames at least; 0: with the first frame without it."""
    update_s: float = 10.0
    """Time between two updates without a change of zone; 0: none."""
    min_confidence: float = 0.5
    """Median confidence that it needs to start."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame's detections. `at_s` is monotonic, `wall_s` the same moment in seconds since 1970."""

    detections: Sequence[Detection]
    size: Size
    at_s: float
    wall_s: float


@dataclass(slots=True, eq=False)
class _Presence:
    """One object, started or not yet."""

    last: Detection
    size: Size
    course: Course
    first_s: float
    last_s: float
    began: float
    at: float
    top_confidence: float = 0.0
    histogram: array[int] = field(default_factory=lambda: array("L", bytes((_BINS + 1) * array("L").itemsize)))
    sightings: int = 0
    missed: int = 0
    """Frames in a row without it."""
    object_id: str | None = None
    """None: it has not started."""
    told_s: float = 0.0
    """Time of its last event."""
    zones: tuple[str, ...] = ()
    maybe_zones: tuple[str, ...] = ()
    """The zones of the last sight."""
    entered: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    dwell_s: dict[str, float] = field(default_factory=dict)

    def see(self, detection: Detection, sight: Sight) -> bool:
        """Record a sight of it. Returns whether it is the most certain one so far."""
        zones = detection.zones or ()
        for zone in self.zones:
            self.dwell_s[zone] = self.dwell_s.get(zone, 0.0) + sight.at_s - self.last_s
        if not self.sightings:
            self.zones = zones
        else:
            now = {*self.zones} & {*zones, *self.maybe_zones} | {*zones} & {*self.maybe_zones}
            self.entered += sorted(now - {*self.zones})
            self.left += sorted({*self.zones} - now)
            self.zones = tuple(zone for zone in dict.fromkeys((*zones, *self.zones)) if zone in now)
        self.maybe_zones = zones
        self.last, self.size, self.last_s, self.at = detection, sight.size, sight.at_s, sight.wall_s
        self.course = self.course.after(detection, sight.size, sight.at_s)
        self.sightings, self.missed = self.sightings + 1, 0
        self.histogram[min(_BINS, max(0, round(detection.confidence * _BINS)))] += 1
        best = detection.confidence > self.top_confidence
        self.top_confidence = max(self.top_confidence, detection.confidence)
        return best

    @property
    def confidence(self) -> float:
        """The median over its life, to a hundredth."""
        below, half = 0, (self.sightings + 1) // 2
        for bin_, count in enumerate(self.histogram):
            below += count
            if below >= half:
                return bin_ / _BINS
        return 0.0


class ObjectFollower:
    """The objects of one camera. `rules` may change at any time.

    `new_id`, `new_number`: return new identities. `best`: receives the id of an object whose latest sight is its best.
    """

    def __init__(
        self,
        camera: str,
        rules: EventRules,
        *,
        run: str,
        new_id: Callable[[], str],
        new_number: Callable[[], int],
        best: Callable[[str], bool] = lambda object_id: False,
    ) -> None:
        self.rules = rules
        self._camera, self._run = camera, run
        self._new_id, self._new_number, self._best = new_id, new_number, best
        self._objects: list[_Presence] = []
        self._seen_s: float | None = None
        self._interval_s = 0.0
        self._pictured: set[str] = set()

    def __len__(self) -> int:
        """Objects that have started or may start."""
        return len(self._objects)

    def see(self, sight: Sight) -> list[ObjectEvent]:
        """Take one frame's detections; return the events that follow."""
        if self._seen_s is not None:
            sight = replace(sight, at_s=max(sight.at_s, self._seen_s))  # two frames may overtake each other
            self._interval_s = sight.at_s - self._seen_s
        self._seen_s = sight.at_s
        events: list[ObjectEvent] = []
        for presence, detection in self._matched(sight):
            best = presence.see(detection, sight)
            if presence.object_id is None:
                if not self._starts(presence):
                    continue
                presence.object_id = self._new_id()
                presence.entered, presence.left = list(presence.zones), []
                self._keep_picture(presence)
                events.append(self._event(presence, "start"))
            else:
                if best:
                    self._keep_picture(presence)
                if self._is_due(presence, sight.at_s):
                    events.append(self._event(presence, "update"))
        return events + self._ended(sight.at_s)

    def silent(self, now_s: float) -> list[ObjectEvent]:
        """End all objects if the camera has been silent for too long: nobody knows whether they are still there."""
        if self._seen_s is None or now_s - self._seen_s < max(_SILENT_S, 3 * self._interval_s, self.rules.off_delay_s):
            return []
        return self.close("camera_silent")

    def close(self, reason: EndReason) -> list[ObjectEvent]:
        """End all objects."""
        events = [self._event(one, "end", reason) for one in self._objects if one.object_id is not None]
        self._objects.clear()
        self._pictured.clear()
        return events

    def present(self) -> list[tuple[str, tuple[str, ...]]]:
        """The class and the zones of each object that has started and not ended."""
        return [(one.last.name, one.zones) for one in self._objects if one.object_id is not None]

    def _matched(self, sight: Sight) -> list[tuple[_Presence, Detection]]:
        """Each detection with the object that it continues, or with a new one."""
        detections = list(sight.detections[:MOST_OBJECTS])
        matched = self._by_track(detections)
        free = [one for one in self._objects if one.last.track is None]
        loose = [number for number, one in enumerate(detections) if one.track is None]
        for known, place in pairs(
            [one.course for one in free], [detections[number] for number in loose], sight.size, sight.at_s
        ):
            matched[loose[place]] = free[known]
        for number, detection in enumerate(detections):
            if number not in matched and len(self._objects) < MOST_OBJECTS:
                at_s, wall_s = sight.at_s, sight.wall_s
                course = course_of(detection, sight.size, at_s)
                presence = _Presence(detection, sight.size, course, at_s, at_s, wall_s, wall_s)
                self._objects.append(presence)
                matched[number] = presence
        return [(presence, detections[number]) for number, presence in sorted(matched.items())]

    def _by_track(self, detections: Sequence[Detection]) -> dict[int, _Presence]:
        """The objects of detections by their tracks, which are distinguished already."""
        known = {one.last.track.track_id: one for one in self._objects if one.last.track is not None}
        return {
            number: known[one.track.track_id]
            for number, one in enumerate(detections)
            if one.track is not None and one.track.track_id in known
        }

    def _starts(self, presence: _Presence) -> bool:
        seen_s = presence.last_s - presence.first_s
        return seen_s >= self.rules.on_delay_s and presence.confidence >= self.rules.min_confidence

    def _is_due(self, presence: _Presence, now_s: float) -> bool:
        update_s = self.rules.update_s
        return bool(presence.entered or presence.left) or 0 < update_s <= now_s - presence.told_s

    def _ended(self, now_s: float) -> list[ObjectEvent]:
        """Remove the objects that are gone."""
        gone = [one for one in self._objects if self._is_gone(one, now_s)]
        if not gone:
            return []
        self._objects = [one for one in self._objects if one not in gone]
        return [self._event(one, "end", "left") for one in gone if one.object_id is not None]

    def _is_gone(self, presence: _Presence, now_s: float) -> bool:
        if presence.last_s >= now_s:
            return False
        presence.missed += 1
        away_s = now_s - presence.last_s
        if presence.object_id is None:
            return away_s >= max(1.0, self.rules.on_delay_s)
        least = _LEAST_MISSED if self.rules.off_delay_s > 0 else 1
        return away_s >= self.rules.off_delay_s and presence.missed >= least

    def _keep_picture(self, presence: _Presence) -> None:
        if presence.object_id is not None and self._best(presence.object_id):
            self._pictured.add(presence.object_id)

    def _event(self, presence: _Presence, kind: EventKind, reason: EndReason | None = None) -> ObjectEvent:
        assert presence.object_id is not None  # only started objects have events
        presence.told_s = presence.last_s
        event = ObjectEvent(
            kind=kind,
            object_id=presence.object_id,
            number=self._new_number(),
            run=self._run,
            camera=self._camera,
            name=presence.last.name,
            class_id=presence.last.class_id,
            confidence=presence.confidence,
            top_confidence=presence.top_confidence,
            box_px=presence.last.box_px,
            image_size=presence.size,
            zones=() if kind == "end" else presence.zones,
            entered=tuple(presence.entered),
            left=(*presence.left, *presence.zones) if kind == "end" else tuple(presence.left),
            dwell_s=tuple(presence.dwell_s.items()),
            began=presence.began,
            at=presence.at,
            duration_s=presence.last_s - presence.first_s,
            picture=presence.object_id in self._pictured,
            reason=reason,
            track_id=presence.last.track.track_id if presence.last.track is not None else None,
        )
        presence.entered, presence.left = [], []
        if kind == "end":
            self._pictured.discard(presence.object_id)
        return event
