"""One waiting frame a camera, the newest; and whose turn it is.

Rules of this file:
- A camera's new frame replaces its waiting one: an answer about a moment that has passed is worth less.
- Higher priority goes first. Within one priority, cameras take turns by weighted engine TIME: each has an account of
  the time it has used divided by its weight, and the lowest account is served (stride scheduling, Waldspurger 1995).
- Who was away saves up no credit: a camera that comes back starts at the account of who is being served now, or a
  moment before it.
- A turn is booked at the camera's typical cost when it is given and corrected when the true cost is known, so that a
  camera with several frames in flight does not get turns for free.
- No camera has more than its part of the frames under way (`most`): who floods a box that has room would otherwise
  make every other frame wait for several of its own.
- One frame at a time is under way whose picture is large: it takes much memory while it is decoded. Those of other
  cameras go on meanwhile.
- A frame older than `max_age_s` is not served, and all waiting frames together hold at most `max_bytes`.
- Frames are put in by the event loop and taken out by the threads that look at them; one lock guards it all, and
  nothing slow is done under it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from appliance.ports import Clock
from appliance.values import Frame, SkipReason

Lost = tuple[Frame, SkipReason]

_SMOOTH = 0.2
_CREDIT_S = 0.05
"""Engine time that a camera may be behind and still catch up: a box that was empty for a moment loses no turn by it."""


@dataclass(slots=True)
class _Account:
    used_s: float = 0.0
    weight: float = 1.0
    priority: int = 0
    most: int = 1
    typical_s: float = 0.0
    booked_s: deque[float] = field(default_factory=deque)
    """One entry for each of its frames that is being served."""


class Mailboxes:
    """Waiting frames of all cameras. Every method may be called from any thread."""

    def __init__(self, *, max_cameras: int, max_bytes: int, max_age_s: float, clock: Clock) -> None:
        self.max_age_s = max_age_s
        self._most, self._most_bytes, self._clock = max_cameras, max_bytes, clock
        self._waiting: dict[str, Frame] = {}
        self._accounts: dict[str, _Account] = {}
        self._now_s: dict[int, float] = {}
        """For each priority the account of the camera served last: where newcomers start."""
        self._changed = threading.Condition()
        self._closed = False
        self.bytes = 0
        self.under_way = 0
        """Frames that were taken and are not done."""
        self._large_under_way = False

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, frame: Frame, *, weight: float = 1.0, priority: int = 0, most: int = 1000) -> list[Lost]:
        """Put a frame in its camera's box; returns the frames that are lost by it, which may be this one.

        `most`: frames of this camera that may be under way at once.
        """
        with self._changed:
            former = self._waiting.get(frame.camera)
            size = len(frame.picture.data)
            others = self.bytes - (len(former.picture.data) if former else 0)
            if (former is None and len(self._waiting) >= self._most) or others + size > self._most_bytes:
                return [(frame, SkipReason.OVERLOADED)]
            if former is not None:
                self._take_out(frame.camera)
            account = self._accounts.setdefault(frame.camera, _Account())
            account.weight, account.priority, account.most = weight, priority, most
            account.used_s = max(account.used_s, self._now_s.get(priority, 0.0) - _CREDIT_S)
            self._waiting[frame.camera] = frame
            self.bytes += size
            self._changed.notify()
            return [] if former is None else [(former, SkipReason.SUPERSEDED)]

    def holds_newer(self, frame: Frame) -> bool:
        """Whether a frame that came after this one is waiting in its camera's box."""
        waiting = self._waiting.get(frame.camera)
        return waiting is not None and waiting.received_s >= frame.received_s

    def take(self, most: Callable[[], int]) -> Frame | None:
        """Wait for a frame whose turn it is, while `most` or more are under way; None once closed.

        Each frame taken is to be given back with `done`.
        """
        with self._changed:
            while not self._closed:
                camera = self._next() if self.under_way < most() else None
                if camera is not None:
                    account = self._accounts[camera]
                    self._now_s[account.priority] = max(self._now_s.get(account.priority, 0.0), account.used_s)
                    account.booked_s.append(account.typical_s)
                    account.used_s += account.typical_s / account.weight
                    self.under_way += 1
                    frame = self._take_out(camera)
                    self._large_under_way |= frame.picture.large
                    return frame
                self._changed.wait()
            return None

    def done(self, camera: str, engine_s: float, *, large: bool = False) -> None:
        """A frame that was taken has cost so much engine time; `large`: its picture is."""
        with self._changed:
            self.under_way -= 1  # nobody is notified: the thread that calls this takes the next one itself
            if large:
                self._large_under_way = False
            account = self._accounts.get(camera)
            if account is None or not account.booked_s:
                return
            account.used_s += (engine_s - account.booked_s.popleft()) / account.weight
            if engine_s > 0:
                account.typical_s += (engine_s - account.typical_s) * (_SMOOTH if account.typical_s else 1.0)

    def expire(self) -> list[Lost]:
        """Take out what has become too old while it waited."""
        with self._changed:
            oldest_s = self._clock() - self.max_age_s
            old = [camera for camera, frame in self._waiting.items() if frame.received_s < oldest_s]
            return [(self._take_out(camera), SkipReason.EXPIRED) for camera in old]

    def wake(self) -> None:
        """Ask again how many may be under way."""
        with self._changed:
            self._changed.notify_all()

    def keep(self, cameras: Container[str]) -> None:
        """Forget the accounts of all but these, and of those that have a frame waiting or under way."""
        with self._changed:
            self._accounts = {
                camera: account
                for camera, account in self._accounts.items()
                if camera in cameras or camera in self._waiting or account.booked_s
            }

    def close(self) -> None:
        """Empty every box and send away all who wait for a frame."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self.bytes = 0
            self._changed.notify_all()

    def _next(self) -> str | None:
        """The camera whose turn it is, among those whose frame is young enough and that have not their part already."""
        oldest_s = self._clock() - self.max_age_s
        ready = (
            camera
            for camera, frame in self._waiting.items()
            if frame.received_s >= oldest_s
            and len(self._accounts[camera].booked_s) < self._accounts[camera].most
            and not (self._large_under_way and frame.picture.large)
        )
        return min(ready, key=self._turn, default=None)

    def _turn(self, camera: str) -> tuple[int, float, float]:
        account = self._accounts[camera]
        return -account.priority, account.used_s, self._waiting[camera].received_s

    def _take_out(self, camera: str) -> Frame:
        frame = self._waiting.pop(camera)
        self.bytes -= len(frame.picture.data)
        return frame
