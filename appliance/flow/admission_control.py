"""Decide whether a camera's next frame is accepted, before its payload is parsed.

Runs on the event loop only. A refusal is counted here; the caller answers it. All frames from outside come the same
way: `register` if their camera stays connected, `receive`, and then the detector's `take` or `ask`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from appliance.errors import BadFrame, Refused
from appliance.flow.cameras import Camera, CameraBook
from appliance.flow.pace import Pace
from appliance.ports import Clock
from appliance.values import Failed, Frame, Skipped, SkipReason

CLOSED = Failed("shutting_down", "the device is stopping or restarting; send again in a few seconds")


class AdmissionControl:
    """Accepts or refuses frames by their camera's rate and the device's limits."""

    def __init__(self, *, book: CameraBook, pace: Pace, clock: Clock, no_model: Callable[[], Failed | None]) -> None:
        """`no_model` says why no frame can be inferred; None: it can."""
        self._book, self._pace, self._clock, self._no_model = book, pace, clock, no_model
        self.closed = False
        """Every frame is refused, because the device is stopping."""

    def failure(self) -> Failed | None:
        """Why no frame can be answered now; None: they can."""
        return CLOSED if self.closed else self._no_model()

    def register(self, name: str, *, unnamed: bool) -> None:
        """Note that a connected client sends frames under this name; the first time, it is sent its limits.

        `unnamed`: the name is that of its connection.
        """
        camera = self._book.get(name)
        if camera is None or camera.announced is None:
            self._pace.join(name)
            self._book.enter(name).unnamed = unnamed

    async def receive(self, name: str, read: Callable[[], Awaitable[Frame]]) -> Frame | Failed | Skipped:
        """Decide about a camera's next frame; only if it is accepted, `read` it. Raises what `read` raises."""
        refusal = self.admit(name)
        if refusal is not None:
            return refusal
        try:
            return await read()
        except (BadFrame, Refused):
            self._book.enter(name).unusable()
            raise

    def admit(self, name: str) -> Failed | Skipped | None:
        """Decide about a camera's next frame; None: accepted."""
        now = self._clock()
        camera = self._book.enter(name)
        camera.arrived(now)
        refusal = self._refusal(camera, now)
        if refusal is not None:
            camera.outcome(refusal, now)
        return refusal

    def is_early(self, name: str) -> bool:
        """Whether a frame of this camera would be too early now. Nothing is counted."""
        camera = self._book.get(name)
        return camera is not None and self._early_s(camera, self._clock()) > 0

    def refuse_early(self, name: str) -> Skipped | None:
        """Refuse a camera's next frame like `admit`, but only if it is too early; else nothing is counted."""
        now, camera = self._clock(), self._book.get(name)
        wait_s = self._early_s(camera, now) if camera is not None else 0.0
        if camera is None or wait_s <= 0:
            return None
        camera.arrived(now)
        refusal = self._too_early(wait_s)
        camera.outcome(refusal, now)
        return refusal

    def _early_s(self, camera: Camera, now_s: float) -> float:
        """By how much a frame would be too early, s; 0 also if it would be refused for another reason."""
        if self.closed or camera.announced is None or not self._pace.admits(camera):
            return 0.0
        return camera.rate_limiter.wait_s(now_s, self._pace.enforced_interval(camera))

    def _refusal(self, camera: Camera, now_s: float) -> Failed | Skipped | None:
        if self.closed:
            return CLOSED
        wait_s = camera.rate_limiter.take(now_s, self._pace.enforced_interval(camera))
        if wait_s > 0:
            return self._too_early(wait_s)
        if not self._pace.admits(camera):
            return Skipped(SkipReason.OVERLOADED, self._pace.refused_interval_s)
        return self._no_model()

    def _too_early(self, wait_s: float) -> Skipped:
        self._pace.refused()
        return Skipped(SkipReason.RATE_LIMITED, round(wait_s, 3))
