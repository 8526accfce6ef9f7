"""Turn the device's limits into limits for each camera, and announce them when they change."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from math import ceil

from appliance.flow.cameras import Camera, CameraBook, CameraPolicy, FrameRateLimiter
from appliance.flow.shares import USE, Demand, fair_intervals, is_due, with_headroom
from appliance.ports import Clock
from appliance.values import CameraLimits, CameraStats, Limits

Announce = Callable[[str, CameraLimits], None]
"""Sends a camera its new limits; returns at once."""

_NEWCOMER = ""
_FIRST_USE, _LEAST_USE = 0.7, 0.2
_TOO_LONG = 0.5
"""Part of its interval that a frame may wait."""
_SHORTEST_S = 0.02
"""Shorter intervals count as this long when waits are judged, because of jitter, s."""
_NO_PROBLEM = ("normal", "fair_share")
_LENIENCE = 0.8
"""A frame is too early below this part of the interval: clocks and networks are not exact."""
_MOST_SLACK = 2.0


class Pace:
    """Computes each camera's limits from the device's limits and the measured cost of a frame.

    `detail`: longest useful side of a picture, relative to the network's input.
    """

    def __init__(
        self,
        book: CameraBook,
        *,
        limits: Limits,
        announce: Announce,
        jpeg_quality: int,
        clock: Clock,
        refused_interval_s: float = 10.0,
        detail: int = 1,
    ) -> None:
        self.limits = limits
        self._detail = detail
        self.use = _FIRST_USE
        """Part of the engine to allocate; adapts to how long frames of obeying cameras wait."""
        self.slack = 1.0
        """Multiple of their share that greedy cameras may send, while no obeying camera has to wait."""
        self.refused_interval_s = refused_interval_s
        """The interval of a camera that is not admitted, s."""
        self._longest_wait = 0.0
        self._refused = 0
        self.slots = 1
        """Inferences that the engine runs in parallel."""
        self._lowest_priority = 0
        self._cost_s = 0.05
        self._book, self._announce, self._jpeg_quality, self._clock = book, announce, jpeg_quality, clock

    def learn(self, slots: int, cost_s: float) -> None:
        """Use the measured cost of a frame."""
        self.slots, self._cost_s = slots, cost_s

    def waited(self, camera: Camera, wait_s: float) -> None:
        """Record how long a frame waited for its turn, or in vain.

        Engine time alone does not determine the capacity, because decoding and inference share the cores. A frame that
        waits for half its camera's interval shows that too much was allocated, before any has to be skipped.
        """
        if camera.announced is not None and camera.obeys(self._clock()):
            self._longest_wait = max(self._longest_wait, wait_s / max(camera.announced.min_interval_s, _SHORTEST_S))

    def refused(self) -> None:
        """Record that a frame came too early: there is more demand than was allocated."""
        self._refused += 1

    def admits(self, camera: Camera) -> bool:
        """Whether this camera's frames are processed at all. The service's own always are."""
        limits = self.limits
        return camera.own or (
            limits.admit
            and camera.policy.priority >= self._lowest_priority
            and (limits.new_cameras or camera.answered > 0)
        )

    def may_show(self, camera: Camera) -> bool:
        """Whether a picture of a camera that is not admitted may be shown without a result now; it counts as shown."""
        now_s = self._clock()
        if self.admits(camera) or now_s - camera.shown_s < self.refused_interval_s * _LENIENCE:
            return False
        camera.shown_s = now_s
        return True

    def _in_flight(self) -> int:
        return self.usable_slots() + 1  # one is being decoded

    def _parts(self, sending: Collection[str]) -> dict[str, int]:
        """How many frames each sending camera may have in flight: its part by weight, rounded up."""
        policies = {name: camera.policy for name, camera in self._book if name in sending}
        parts = {}
        for name, policy in policies.items():
            rivals = sum(other.weight for other in policies.values() if other.priority >= policy.priority)
            parts[name] = ceil(self._in_flight() * policy.weight / rivals)
        return parts

    def usable_slots(self) -> int:
        return max(1, min(self.slots, self.limits.max_in_flight))

    def join(self, name: str) -> CameraLimits:
        """Register a connection of this camera; return its limits from the first frame on."""
        camera = self._book.enter(name)
        camera.connections += 1
        if camera.last_frame_s is None:
            camera.last_frame_s = self._clock()  # it will send, and counts for the next camera that joins
        fair = self._fair(self._clock(), camera)  # as if it were sending already
        camera.announced, camera.announced_at_s = self._limits_of(camera, fair.get(_NEWCOMER)), self._clock()
        return camera.announced

    def preview(self) -> CameraLimits:
        """The limits of a camera that started to send now."""
        newcomer = Camera(CameraPolicy(), FrameRateLimiter(1))
        return self._limits_of(newcomer, self._fair(self._clock(), newcomer).get(_NEWCOMER))

    def enforced_interval(self, camera: Camera) -> float:
        """The interval below which a frame of this camera is too early, s."""
        floor_s = self._floor(camera)
        if camera.announced is None:
            return floor_s
        # Never stricter than what was announced: a floor that has just risen applies once the camera knows it. The
        # share is the present one, because announced intervals are damped.
        announced_s = camera.announced.min_interval_s
        share_s = announced_s if camera.fair_s is None else min(camera.fair_s, announced_s / _LENIENCE)
        return max(min(floor_s, announced_s), min(share_s * _LENIENCE, announced_s) / self.slack)

    def update(self) -> None:
        """Recompute the shares and announce limits that have changed noticeably."""
        self._adjust()
        now_s = self._clock()
        lowest = self.limits.lowest_priority
        high = any(camera.policy.priority >= lowest and camera.sending(now_s) for _, camera in self._book)
        self._lowest_priority = lowest if high else 0
        fair = self._fair(now_s)
        parts = self._parts(fair)
        for name, camera in list(self._book):
            camera.fair_s = fair.get(name)
            camera.most_in_flight = parts.get(name, self._in_flight())
            if camera.announced is None:
                continue
            limits = self._limits_of(camera, fair.get(name))
            before = camera.announced
            # A small change of the interval is not announced, nor is a new reason alone: only that the last one ended.
            same = replace(limits, min_interval_s=before.min_interval_s, reason=before.reason) == before
            over = limits.reason in _NO_PROBLEM and before.reason not in _NO_PROBLEM
            age_s, hot = now_s - camera.announced_at_s, self.limits.duty < 1
            due = is_due(before.min_interval_s, limits.min_interval_s, age_s, hot=hot)
            if same and not over and not due:
                continue
            floor_s = self._floor(camera)
            if hot and limits.min_interval_s > floor_s and self.admits(camera):
                interval_s = with_headroom(before.min_interval_s, limits.min_interval_s, floor_s)
                limits = replace(limits, min_interval_s=round(interval_s, 4))
            camera.announced, camera.announced_at_s = limits, now_s
            self._announce(name, limits)

    def stats(self) -> dict[str, CameraStats]:
        """Counters and limits of each camera by name, without the service's own."""
        now = self._clock()
        return {
            name: camera.stats(now, camera.announced or self._limits_of(camera, None))
            for name, camera in self._book
            if not camera.own
        }

    def _adjust(self) -> None:
        if self._longest_wait > _TOO_LONG:
            self.use, self.slack = max(_LEAST_USE, self.use * 0.92), 1.0
        elif self._longest_wait < _TOO_LONG / 2:
            self.use = min(USE, self.use * 1.02)
            self.slack = min(_MOST_SLACK, self.slack * 1.2) if self._refused else max(1.0, self.slack / 1.2)
        if self.limits.duty < 1:
            self.slack = 1.0  # the rest must stay unused, to produce less heat
        self._longest_wait, self._refused = 0.0, 0

    def _fair(self, now_s: float, newcomer: Camera | None = None) -> dict[str, float]:
        sending = {
            name: camera
            for name, camera in self._book
            if camera.sending(now_s) and camera is not newcomer and not camera.own and self.admits(camera)
        }
        if newcomer is not None:
            sending[_NEWCOMER] = newcomer
        demands = {
            name: Demand(camera.cost_s or self._cost_s, camera.policy.weight, self._floor(camera))
            for name, camera in sending.items()
        }
        return fair_intervals(demands, self.usable_slots(), self.use * self.limits.duty)

    def _limits_of(self, camera: Camera, fair_s: float | None) -> CameraLimits:
        floor_s = self._floor(camera)
        announced_s = camera.announced.min_interval_s if camera.announced else 0.0
        interval_s = max(floor_s, announced_s if fair_s is None else fair_s)
        if not self.admits(camera):
            interval_s = max(interval_s, self.refused_interval_s)
        reason = self.limits.reason
        if reason == "normal" and interval_s > floor_s:
            reason = "fair_share"
        return CameraLimits(round(interval_s, 4), self.limits.max_side * self._detail, self._jpeg_quality, reason)

    def _floor(self, camera: Camera) -> float:
        return max(self.limits.min_interval_s, camera.policy.min_interval_s)
