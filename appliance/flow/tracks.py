"""Follow the objects of each camera, so that a detection says which object it is, for how long, and whether it stands.

Rules of this file:
- Answers pass in the order in which they are published, whether they were inferred, held or cached. A frame that was
  overtaken counts as seen at the same time as the other.
- An object that is not found for `memory_s` is forgotten. It is not found only in frames that came, two at least: a
  silent camera forgets nothing, and a slow one nothing because of one frame.
- Memory is bounded: objects of one camera, and of all. Beyond that detections have no track.
- Only the event loop uses it; an answer with 64 objects takes less than a millisecond.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.flow import prediction
from appliance.ports import Clock
from appliance.values import Detected, Detection, Size, Timing, Track
from appliance.vision.association import Course, Place, course_of, pairs, place_of

MOST_TRACKS = 64
"""Of one camera."""
MOST_OF_ALL = 4096
_STANDS_S = 5.0
"""An object is stationary when it has not moved for this long."""
_MOVES = 0.2
"""How far it moves without having moved, in diagonals of its box: boxes tremble, and people shift their weight."""
_LEAST_MISSED = 2
"""Answers without an object after which it may be forgotten."""
_CALM = 0.3
"""Part by which the smoothed place follows the box."""


@dataclass(slots=True)
class _Followed:
    """One object."""

    track_id: int
    course: Course
    first_seen: float
    smooth: Place
    anchor: Place
    """Where it stands, since `stands_since_s`."""
    stands_since_s: float
    detection: Detection
    times: int = 1
    """How many answers have shown it."""
    missed: int = 0
    """Answers in a row that have not."""

    def see(self, detection: Detection, size: Size, at_s: float) -> None:
        self.course, self.detection, self.times = self.course.after(detection, size, at_s), detection, self.times + 1
        self.missed = 0
        place = place_of(detection, size)
        x, y, diagonal = (old + _CALM * (new - old) for old, new in zip(self.smooth, place, strict=True))
        self.smooth = x, y, diagonal
        if math.hypot(x - self.anchor[0], y - self.anchor[1]) > _MOVES * max(diagonal, 1e-6):
            self.anchor, self.stands_since_s = self.smooth, at_s

    def track(self, at_s: float) -> Track:
        return Track(self.track_id, at_s - self.stands_since_s >= _STANDS_S, self.first_seen)


class Tracks:
    """The objects of all cameras. `memory_s`: how long an object that is not found is remembered."""

    def __init__(self, memory_s: float, *, clock: Clock, wall_clock: Clock = time.time) -> None:
        self._memory_s, self._clock, self._wall_clock = memory_s, clock, wall_clock
        self._numbers = itertools.count(1)
        self.living = 0
        """Objects of all cameras."""

    def camera(self) -> CameraTracks:
        """The objects of another camera, none yet."""
        return CameraTracks(self, self._memory_s, self._new)

    def _new(self, detection: Detection, size: Size, at_s: float) -> _Followed | None:
        """A new object; None: there are too many."""
        if self.living >= MOST_OF_ALL:
            return None
        self.living += 1
        course = course_of(detection, size, at_s)
        first_seen = self._wall_clock() - (self._clock() - at_s)
        return _Followed(next(self._numbers), course, first_seen, course.place, course.place, at_s, detection)


class CameraTracks:
    """The objects of one camera."""

    def __init__(
        self, tracks: Tracks, memory_s: float, new: Callable[[Detection, Size, float], _Followed | None]
    ) -> None:
        self._tracks, self._memory_s, self._new = tracks, memory_s, new
        self._followed: list[_Followed] = []
        self._at_s = float("-inf")
        self._last: Detected | None = None

    def __len__(self) -> int:
        return len(self._followed)

    def follow(self, answer: Detected, at_s: float) -> Detected:
        """The answer to a frame that came at `at_s`, with the track of each detection."""
        self._at_s = at_s = max(at_s, self._at_s)
        detections, size = answer.detections[:MOST_TRACKS], answer.image_size
        seen: dict[int, _Followed] = {}
        for known, number in pairs([one.course for one in self._followed], detections, size, at_s):
            seen[number] = self._followed[known]
            seen[number].see(detections[number], size, at_s)
        self._forget(at_s)
        for number, detection in enumerate(detections):
            if number not in seen and len(self._followed) < MOST_TRACKS:
                new = self._new(detection, size, at_s)
                if new is not None:
                    self._followed.append(new)
                    seen[number] = new
        tracked = (
            replace(one, track=seen[number].track(at_s)) if number in seen else one
            for number, one in enumerate(answer.detections)
        )
        self._last = answer
        return replace(answer, detections=tuple(tracked))

    def predicted(self, at_s: float) -> Detected | None:
        """What the camera probably shows at `at_s`; None: the last answer is too old. Nothing is learned from it."""
        last = self._last
        if last is None or at_s - self._at_s > prediction.MOST_S:
            return None
        there = []
        for one in self._followed:
            if one.course.at_s == self._at_s and one.times > 1:
                detection = prediction.predicted(one.detection, one.course, last.image_size, at_s)
                there += [] if detection is None else [replace(detection, track=one.track(self._at_s))]
        there.sort(key=lambda one: -one.confidence)
        return Detected(tuple(there), last.image_size, last.input_size, last.model, Timing(0.0, 0.0, 0.0, 0.0))

    def close(self) -> None:
        """Forget all objects and the last answer: the camera has left, or its objects begin again."""
        self._tracks.living -= len(self._followed)
        self._followed.clear()
        self._last = None

    def _forget(self, at_s: float) -> None:
        for one in self._followed:
            one.missed += one.course.at_s < at_s
        kept = [one for one in self._followed if at_s - one.course.at_s < self._memory_s or one.missed < _LEAST_MISSED]
        self._tracks.living -= len(self._followed) - len(kept)
        self._followed = kept
