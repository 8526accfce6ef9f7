"""What each camera is asked to keep to: the governor's limits and its fair share, told when they change."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from math import ceil

from appliance.flow.cameras import Camera, CameraBook, CameraPolicy, TokenBucket
from appliance.flow.shares import USE, Demand, changed, fair_intervals
from appliance.ports import Clock
from appliance.values import CameraLimits, CameraStats, Limits

Announce = Callable[[str, CameraLimits], None]
"""Tells a camera its new limits; returns at once."""

_NEWCOMER = ""
_FIRST_USE, _LEAST_USE = 0.7, 0.2
_TOO_LONG = 0.5
"""Of its interval, that a frame may wait."""
_SHORTEST_S = 0.02
"""A shorter interval is not held to its own jitter, s."""
_LENIENCE = 0.8
"""Part of its interval below which a camera is refused: clocks and networks are not exact."""
_MOST_SLACK = 2.0
REFUSED_S = 10.0
"""When a camera that is not let in may try again, s."""


class Pace:
    """Turns the box's limits and the engine's measured cost into limits for each camera."""

    def __init__(
        self, book: CameraBook, *, limits: Limits, announce: Announce, jpeg_quality: int, clock: Clock
    ) -> None:
        self.limits = limits
        self.use = _FIRST_USE
        """Part of the engine that is given away; follows how long the frames of obeying cameras wait."""
        self.slack = 1.0
        """How many times their share greedy cameras may send, while nobody who obeys has to wait for it."""
        self._longest_wait = 0.0
        self._refused = 0
        self.slots = 1
        """Inferences the engine runs side by side."""
        self._lowest_priority = 0
        self._cost_s = 0.05
        self._book, self._announce, self._jpeg_quality, self._clock = book, announce, jpeg_quality, clock

    def learn(self, slots: int, cost_s: float) -> None:
        """What a frame has really cost."""
        self.slots, self._cost_s = slots, cost_s

    def waited(self, camera: Camera, wait_s: float) -> None:
        """A frame of a camera waited this long for its turn, or in vain.

        Engine time alone does not say what the box can do, since decoding and the network share its cores. But a frame
        that waits for half its camera's interval says that too much was given away, before any has to be skipped.
        """
        if camera.told is not None and camera.obeys(self._clock()):
            self._longest_wait = max(self._longest_wait, wait_s / max(camera.told.min_interval_s, _SHORTEST_S))

    def refused(self) -> None:
        """A frame came too soon: there is more to do than was given away."""
        self._refused += 1

    def lets_in(self, camera: Camera) -> bool:
        """Whether this camera's frames are looked at at all; the canary's always are, one a minute."""
        limits = self.limits
        return camera.own or (
            limits.admit
            and camera.policy.priority >= self._lowest_priority
            and (limits.new_cameras or camera.answered > 0)
        )

    def _under_way(self) -> int:
        return self.usable_slots() + 1  # one is decoded meanwhile

    def _parts(self, sending: Collection[str]) -> dict[str, int]:
        """How many of the frames under way each sending camera may have: its part by weight, rounded up."""
        policies = {name: camera.policy for name, camera in self._book if name in sending}
        parts = {}
        for name, policy in policies.items():
            rivals = sum(other.weight for other in policies.values() if other.priority >= policy.priority)
            parts[name] = ceil(self._under_way() * policy.weight / rivals)
        return parts

    def usable_slots(self) -> int:
        return max(1, min(self.slots, self.limits.max_in_flight))

    def join(self, name: str) -> CameraLimits:
        """A camera has connected under this name; what it should keep to from its first frame on."""
        camera = self._book.enter(name)
        camera.connections += 1
        if camera.last_frame_s is None:
            camera.last_frame_s = self._clock()  # it will send: the next one that joins is to know
        fair = self._fair(self._clock(), camera)  # as if it were sending already, so that its share is one among all
        camera.told = self._limits_of(camera, fair.get(_NEWCOMER))
        return camera.told

    def preview(self) -> CameraLimits:
        """What a camera would be asked if it began to send now."""
        newcomer = Camera(CameraPolicy(), TokenBucket(1))
        return self._limits_of(newcomer, self._fair(self._clock(), newcomer).get(_NEWCOMER))

    def enforced_interval(self, camera: Camera) -> float:
        """Seconds below which a frame of this camera comes too soon."""
        floor_s = self._floor(camera)
        if camera.told is None:
            return floor_s
        # Never stricter than what it was told: a floor that has just risen is held against it once it knows. The share
        # is the present one: what was told is rounded so that it does not flutter.
        told_s = camera.told.min_interval_s
        share_s = told_s if camera.fair_s is None else min(camera.fair_s, told_s / _LENIENCE)
        return max(min(floor_s, told_s), min(share_s * _LENIENCE, told_s) / self.slack)

    def tell(self) -> None:
        """Make the shares anew and tell those whose limits have really changed."""
        self._adjust()
        now_s = self._clock()
        lowest = self.limits.lowest_priority
        high = any(camera.policy.priority >= lowest and camera.sending(now_s) for _, camera in self._book)
        self._lowest_priority = lowest if high else 0
        fair = self._fair(now_s)
        parts = self._parts(fair)
        for name, camera in list(self._book):
            camera.fair_s = fair.get(name)
            camera.most_under_way = parts.get(name, self._under_way())
            if camera.told is None:
                continue
            limits = self._limits_of(camera, fair.get(name))
            interval_s = camera.told.min_interval_s
            # The reason alone is no news, and neither is a small change of pace: cameras are not to flutter.
            if replace(limits, min_interval_s=interval_s, reason=camera.told.reason) != camera.told or changed(
                interval_s, limits.min_interval_s
            ):
                camera.told = limits
                self._announce(name, limits)

    def stats(self) -> dict[str, CameraStats]:
        """Counters and limits of each camera by name, without the service's own."""
        now = self._clock()
        return {
            name: camera.stats(now, camera.told or self._limits_of(camera, None))
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
            self.slack = 1.0  # what is not given away is to be left undone
        self._longest_wait, self._refused = 0.0, 0

    def _fair(self, now_s: float, newcomer: Camera | None = None) -> dict[str, float]:
        sending = {
            name: camera
            for name, camera in self._book
            if camera.sending(now_s) and camera is not newcomer and not camera.own and self.lets_in(camera)
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
        told_s = camera.told.min_interval_s if camera.told else 0.0
        interval_s = max(floor_s, told_s if fair_s is None else fair_s)
        if not self.lets_in(camera):
            interval_s = max(interval_s, REFUSED_S)
        reason = self.limits.reason
        if reason == "normal" and interval_s > floor_s:
            reason = "fair_share"
        return CameraLimits(round(interval_s, 4), self.limits.max_side, self._jpeg_quality, reason)

    def _floor(self, camera: Camera) -> float:
        return max(self.limits.min_interval_s, camera.policy.min_interval_s)
