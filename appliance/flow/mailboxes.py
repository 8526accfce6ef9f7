"""The newest waiting frame of each camera, and whose turn it is.

Rules of this file:
- A camera's new frame replaces its waiting one, because an answer about the past is worth less. A frame of another lane
  waits next to it; all lanes of a camera share its account.
- Frames of a camera that keeps to its limits wait in a short line instead (`places`): a moment in which the device is
  slower than its limits promise delays them, and none is lost.
- Higher priorities go first. Within a priority, cameras take turns by weighted engine TIME: each has an account of the
  time it used divided by its weight, and the lowest account is served next (stride scheduling, Waldspurger 1995).
- An idle camera saves up no credit: when it returns, it starts near the account of the camera being served.
- A turn is charged the camera's typical cost when it starts and corrected when the real cost is known, so that a
  camera with several frames in flight gets no free turns.
- No camera has more than its part of the frames in flight (`most`). Otherwise each frame of another camera would wait
  for several frames of a flooding one.
- Only one frame with a large picture is in flight at a time, because decoding it needs much memory. Other frames
  continue meanwhile.
- A frame older than `max_age_s` is not served, and all waiting frames together hold at most `max_bytes`.
- The event loop puts frames in and worker threads take them out. One lock guards everything and is held only briefly.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from appliance.ports import Clock
from appliance.values import Frame, SkipReason

Lost = tuple[Frame, SkipReason]
_Lane = tuple[str, int]
"""A camera, and the number of one of its lanes."""

MOST_PLACES = 24
"""Frames of one lane that may wait: until a standing queue is noticed, and the camera has heard of longer intervals."""

_SMOOTH = 0.2
_CREDIT_S = 0.05
"""Engine time that a camera may catch up, s: a mailbox that was empty for a moment loses no turn."""


@dataclass(slots=True)
class _Account:
    used_s: float = 0.0
    weight: float = 1.0
    priority: int = 0
    most: int = 1
    typical_s: float = 0.0
    booked_s: deque[float] = field(default_factory=deque)
    """The charge of each of its frames in flight."""


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """How the engine was used during some time, as parts of what its slots could do."""

    idle: float
    """Without a frame, 0-1."""
    spent: float
    """Engine time of the frames that were finished."""


class BusyTime:
    """Sums up the time with each number of frames in flight, and the engine time of finished frames."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._since_s = clock, clock()
        self._spent_s: dict[int, float] = {}
        self._engine_s = 0.0

    def count(self, in_flight: int, engine_s: float = 0.0) -> None:
        """Add the time since the last call, during which so many frames were in flight; the last took `engine_s`."""
        now_s = self._clock()
        self._spent_s[in_flight] = self._spent_s.get(in_flight, 0.0) + now_s - self._since_s
        self._since_s = now_s
        self._engine_s += engine_s

    def take(self, slots: int) -> EngineUsage | None:
        """The usage since the last call; None: no time has passed."""
        spent_s, engine_s, self._spent_s, self._engine_s = self._spent_s, self._engine_s, {}, 0.0
        total_s = slots * sum(spent_s.values())
        if total_s <= 0:
            return None
        idle_s = sum(max(0, slots - count) * time_s for count, time_s in spent_s.items())
        return EngineUsage(idle_s / total_s, engine_s / total_s)


class Mailboxes:
    """The waiting frames of all cameras. Every method may be called from any thread."""

    def __init__(self, *, max_cameras: int, max_bytes: int, max_age_s: float, clock: Clock) -> None:
        self.max_age_s = max_age_s
        self._most, self._most_bytes, self._clock = max_cameras, max_bytes, clock
        self._lines: dict[_Lane, list[Frame]] = {}
        """The waiting frames of each lane, the oldest first; no line is empty."""
        self._accounts: dict[str, _Account] = {}
        self._now_s: dict[int, float] = {}
        """The account of the camera served last, for each priority: where newcomers start."""
        self._busy = BusyTime(clock)
        self._changed = threading.Condition()
        self._closed = False
        self.bytes = 0
        self.in_flight = 0
        """Frames that workers have taken and not finished."""
        self._large_in_flight = False

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def offer(
        self, frame: Frame, *, weight: float = 1.0, priority: int = 0, most: int = 1000, places: int = 1
    ) -> list[Lost]:
        """Put a frame into its camera's mailbox; return the frames that are dropped for it, which may be this one.

        `most`: how many frames of this camera may be in flight. `places`: how many of its lane may wait.
        """
        with self._changed:
            lane, size = (frame.camera, frame.lane), len(frame.picture.data)
            line = self._lines.get(lane, [])
            # A frame may always wait in place of those before it. Lines leave half of the memory to other cameras.
            full = len(self) >= self._most or self.bytes + size > self._most_bytes // 2
            kept = 0 if full or not line else min(places, MOST_PLACES) - 1
            former = line[: max(0, len(line) - kept)]
            less = sum(len(old.picture.data) for old in former)
            if (not line and len(self._lines) >= self._most) or self.bytes - less + size > self._most_bytes:
                return [(frame, SkipReason.OVERLOADED)]
            lost = [(self._take_out(lane, old), SkipReason.SUPERSEDED) for old in former]
            account = self._accounts.setdefault(frame.camera, _Account())
            account.weight, account.priority, account.most = weight, priority, most
            account.used_s = max(account.used_s, self._now_s.get(priority, 0.0) - _CREDIT_S)
            insort(self._lines.setdefault(lane, []), frame, key=attrgetter("received_s"))
            self.bytes += size
            self._changed.notify()
            return lost

    def holds_newer(self, frame: Frame) -> bool:
        """Whether a newer frame is waiting in this frame's place."""
        with self._changed:
            line = self._lines.get((frame.camera, frame.lane))
            return line is not None and line[-1].received_s >= frame.received_s

    def take(self, most: Callable[[], int]) -> Frame | None:
        """Wait for the next frame while fewer than `most` are in flight; None once closed.

        The caller must call `done` for each frame.
        """
        with self._changed:
            while not self._closed:
                following = self._next() if self.in_flight < most() else None
                if following is not None:
                    lane, frame = following
                    account = self._accounts[frame.camera]
                    self._now_s[account.priority] = max(self._now_s.get(account.priority, 0.0), account.used_s)
                    account.booked_s.append(account.typical_s)
                    account.used_s += account.typical_s / account.weight
                    self._busy.count(self.in_flight)
                    self.in_flight += 1
                    self._large_in_flight |= frame.picture.large
                    return self._take_out(lane, frame)
                self._changed.wait()
            return None

    def done(self, camera: str, engine_s: float, *, large: bool = False) -> None:
        """Charge the real engine time of a finished frame. `large`: its picture was large."""
        with self._changed:
            self._busy.count(self.in_flight, engine_s)
            self.in_flight -= 1  # no notification: the calling thread takes the next frame itself
            if large:
                self._large_in_flight = False
            account = self._accounts.get(camera)
            if account is None or not account.booked_s:
                return
            account.used_s += (engine_s - account.booked_s.popleft()) / account.weight
            if engine_s > 0:
                account.typical_s += (engine_s - account.typical_s) * (_SMOOTH if account.typical_s else 1.0)

    def take_usage(self, slots: int) -> EngineUsage | None:
        """How `slots` inferences in parallel were used since the last call; None: no time has passed."""
        with self._changed:
            self._busy.count(self.in_flight)
            return self._busy.take(slots)

    def expire(self) -> list[Lost]:
        """Remove frames that have waited too long."""
        with self._changed:
            oldest_s = self._clock() - self.max_age_s
            old = [(lane, frame) for lane, frame in self._all() if frame.received_s < oldest_s]
            return [(self._take_out(lane, frame), SkipReason.EXPIRED) for lane, frame in old]

    def wake(self) -> None:
        """Make workers check again how many frames may be in flight."""
        with self._changed:
            self._changed.notify_all()

    def keep(self, cameras: Container[str]) -> None:
        """Drop all accounts except those of these cameras and of cameras with a frame waiting or in flight."""
        with self._changed:
            waiting = {camera for camera, _ in self._lines}
            self._accounts = {
                camera: account
                for camera, account in self._accounts.items()
                if camera in cameras or camera in waiting or account.booked_s
            }

    def close(self) -> None:
        """Empty all mailboxes and release all waiting workers."""
        with self._changed:
            self._closed = True
            self._lines.clear()
            self.bytes = 0
            self._changed.notify_all()

    def _all(self) -> Iterator[tuple[_Lane, Frame]]:
        return ((lane, frame) for lane, line in self._lines.items() for frame in line)

    def _next(self) -> tuple[_Lane, Frame] | None:
        """The frame whose turn it is, among the valid ones of cameras that have not used their part."""
        oldest_s = self._clock() - self.max_age_s
        ready = (
            (lane, frame)
            for lane, frame in self._all()
            if frame.received_s >= oldest_s
            and len(self._accounts[frame.camera].booked_s) < self._accounts[frame.camera].most
            and not (self._large_in_flight and frame.picture.large)
        )
        return min(ready, key=self._turn, default=None)

    def _turn(self, waiting: tuple[_Lane, Frame]) -> tuple[int, float, float]:
        _, frame = waiting
        account = self._accounts[frame.camera]
        return -account.priority, account.used_s, frame.received_s

    def _take_out(self, lane: _Lane, frame: Frame) -> Frame:
        line = self._lines[lane]
        del line[next(index for index, one in enumerate(line) if one is frame)]
        if not line:
            del self._lines[lane]
        self.bytes -= len(frame.picture.data)
        return frame
