"""Turn the device's limits into limits for each camera, and announce them when they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from appliance.flow.announcements import Circumstances, calm_duty
from appliance.flow.camera_cost import CameraCost
from appliance.flow.cameras import Camera, CameraBook, CameraPolicy
from appliance.flow.load_watch import LoadWatch
from appliance.flow.mailboxes import MOST_PLACES, EngineUsage
from appliance.flow.rates import FrameRateLimiter
from appliance.flow.shares import Demand, InFlightClaim, in_flight_parts, shared
from appliance.ports import Clock
from appliance.values import CameraLimits, CameraStats, Limits

Announce = Callable[[str, CameraLimits], None]
"""Sends a camera its new limits; returns at once."""

_NEWCOMER = ""
_LAG = 1.15
"""A camera that was not yet given this part of its share proves nothing by what it leaves idle."""
_USUAL_COST_S = 0.05
_GENTLE = 0.25
"""Part of its interval that a frame may wait before greedy cameras get less."""
_URGENT, _URGENT_S = 2.0, 0.1
"""A frame that waits for this many intervals changes the limits at once, unless they were changed just before, s."""
_SHORTEST_S = 0.02
"""Shorter intervals count as this long when waits are judged, because of jitter, s."""
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
        """Of the device; `apply` sets them."""
        self._detail = detail
        self._load = LoadWatch(clock())
        self.slack = 1.0
        """Multiple of their share that greedy cameras may send, while no obeying camera has to wait."""
        self.refused_interval_s = refused_interval_s
        """The interval of a camera that is not admitted, s."""
        self._updated_s = clock()
        self._calm = limits.duty
        """The duty from which shares are announced."""
        self._stale = False
        self.applied_s = float("-inf")
        """When the device's limits changed last: what was received before says nothing of them."""
        self._refused = 0
        self.slots = 1
        """Inferences that the engine runs in parallel."""
        self._lowest_priority = 0
        self._cost = CameraCost()
        """Of all cameras, for those that did not send yet."""
        self._longest_cost_s = 0.0
        """Of a frame of a sending camera: others wait for it now and then, at any load."""
        self._sending: frozenset[str] = frozenset()
        self._book, self._announce, self._jpeg_quality, self._clock = book, announce, jpeg_quality, clock

    @property
    def use(self) -> float:
        """Part of the engine that is allocated."""
        return self._load.capacity.use

    def learn(self, slots: int, cost_s: float) -> None:
        """Use the measured cost of a frame."""
        self.slots = slots
        self._cost.note(self.limits.max_side, cost_s)

    def waited(self, camera: Camera, wait_s: float) -> None:
        """Record how long a frame waited for its turn, or in vain."""
        now_s = self._clock()
        if camera.announced is None or not camera.obeys(now_s):
            return
        wait = wait_s / max(camera.announced.min_interval_s, self._longest_cost_s, _SHORTEST_S)
        self._load.waited(wait)
        self._stale |= wait > _URGENT
        self._update_soon()

    def _update_soon(self, joining: Camera | None = None) -> None:
        """Do not wait for the next regular update if limits may be wrong."""
        if self._stale and self._clock() - self._updated_s > _URGENT_S:
            self.update(joining)

    def used(self, usage: EngineUsage | None) -> None:
        """Record how the engine was used since the last update."""
        self._load.used(usage)

    def take_busy(self) -> float | None:
        """Part of the allocated engine time that was used since the last call, 0-1; None: not known."""
        return self._load.take_busy()

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

    def _parts(self, fair: Mapping[str, float], needs: Mapping[str, float], now_s: float) -> dict[str, int]:
        """How many frames each sending camera may have in flight."""
        claims = {
            name: InFlightClaim(
                camera.policy.weight, camera.policy.priority,
                min(1.0, fair[name] / needs[name]) if name in needs else 1.0, camera.obeys(now_s),
            )
            for name, camera in self._book if name in fair
        }  # fmt: skip
        return in_flight_parts(claims, self._in_flight())

    def places(self, camera: Camera) -> int:
        """How many frames of this camera may wait, instead of the newest one."""
        return MOST_PLACES if camera.obeys(self._clock()) else 1

    def usable_slots(self) -> int:
        return max(1, min(self.slots, self.limits.max_in_flight))

    def join(self, name: str) -> CameraLimits:
        """Register a connection of this camera; return its limits from the first frame on."""
        camera = self._book.enter(name)
        camera.connections += 1
        if camera.last_frame_s is None:
            camera.last_frame_s = self._clock()  # it will send, and counts for the next camera that joins
        fair = self._fair(self._clock(), camera)  # as if it were sending already
        limits = self._limits_of(camera, fair.get(_NEWCOMER))
        camera.announce(limits, self._clock())
        self._stale = True  # there is less for the others
        self._update_soon(joining=camera)
        return limits

    def preview(self) -> CameraLimits:
        """The limits of a camera that started to send now."""
        newcomer = Camera(CameraPolicy(), FrameRateLimiter(1))
        return self._limits_of(newcomer, self._fair(self._clock(), newcomer).get(_NEWCOMER))

    def enforced_interval(self, camera: Camera) -> float:
        """The interval below which a frame of this camera is too early, s."""
        floor_s = self._floor(camera)
        announced_s = camera.obedience.interval_s(self._clock())
        if announced_s is None:
            return floor_s
        # Never stricter than what was announced: a floor that has just risen applies once the camera knows it. The
        # share is the present one, because announced intervals are damped.
        share_s = announced_s if camera.fair_s is None else min(camera.fair_s, announced_s / _LENIENCE)
        return max(min(floor_s, announced_s), min(share_s * _LENIENCE, announced_s) / self.slack)

    def apply(self, limits: Limits) -> None:
        """Compute with other limits of the device from now on, and announce what changes for the cameras."""
        if limits.max_side != self.limits.max_side:
            self._calm = limits.duty
        self.limits, self.applied_s = limits, self._clock()
        self._load.restart(self.applied_s)
        self.update()

    def update(self, joining: Camera | None = None) -> None:
        """Recompute the shares and announce limits that have changed noticeably.

        `joining`: gets its limits with the greeting, and nothing before it.
        """
        now_s = self._clock()
        self._calm = calm_duty(self._calm, self.limits.duty, now_s - self._updated_s)
        trend = self._adjust(now_s)
        lowest = self.limits.lowest_priority
        high = any(camera.policy.priority >= lowest and camera.sending(now_s) for _, camera in self._book)
        self._lowest_priority = lowest if high else 0
        demands, needs = self._demands(now_s)
        fair = self._shares(demands, needs, self.limits.duty)
        if fair.keys() != self._sending:
            trend = -1 if fair.keys() - self._sending else trend  # there is less for each
            self._load.restart(now_s)
        self._sending = frozenset(fair)
        parts = self._parts(fair, needs, now_s)
        calm_fair = fair if self._calm == self.limits.duty else self._shares(demands, needs, self._calm)
        for name, camera in list(self._book):
            camera.fair_s = fair.get(name)
            camera.most_in_flight = parts.get(name, self._in_flight())
            if camera is joining:
                continue
            limits = self._limits_of(camera, calm_fair.get(name))
            floor_s = self._floor(camera) if self.admits(camera) else limits.min_interval_s
            present = Circumstances(self.limits.duty < 1, floor_s, self._calm, camera.obedience.needed_s, trend)
            due = camera.announcements.due(limits, now_s, present)
            if due is not None:
                camera.announce(due, now_s)
                self._announce(name, due)

    def stats(self) -> dict[str, CameraStats]:
        """Counters and limits of each camera by name, without the service's own."""
        now = self._clock()
        return {
            name: camera.stats(now, camera.announced or self._limits_of(camera, None))
            for name, camera in self._book
            if not camera.own
        }

    def _adjust(self, now_s: float) -> int:
        """Adapt the part of the engine to allocate; return 1 if there is more to announce, -1 if it shrank, else 0."""
        if self._load.longest_wait > 2 * _GENTLE:
            self.slack = 1.0
        elif self._load.longest_wait < _GENTLE:
            self.slack = min(_MOST_SLACK, self.slack * 1.2) if self._refused else max(1.0, self.slack / 1.2)
        if self.limits.duty < 1:
            self.slack = 1.0  # the rest must stay unused, to produce less heat
        self._refused, self._updated_s, self._stale = 0, now_s, False
        return self._load.step(now_s, wanted=self._is_wanted(), lags=self._lags(), duty=self.limits.duty)

    def _lags(self) -> bool:
        """Whether a camera that wants more was announced noticeably less than its share."""
        return any(
            camera.obedience.wants_more
            and camera.announced is not None
            and camera.fair_s is not None
            and camera.announced.min_interval_s > max(camera.fair_s, self._floor(camera)) * _LAG
            for _, camera in self._book
        )

    def _is_wanted(self) -> bool:
        """Whether a camera sends as often as its share allows, and could send more often."""
        return any(
            camera.obedience.wants_more
            and camera.announced is not None
            and camera.announced.min_interval_s > self._floor(camera)
            for _, camera in self._book
            if not camera.own and self.admits(camera)
        )

    def _fair(self, now_s: float, newcomer: Camera | None = None) -> dict[str, float]:
        """The share of each sending camera, as an interval, s."""
        return self._shares(*self._demands(now_s, newcomer), self.limits.duty)

    def _shares(self, demands: Mapping[str, Demand], needs: Mapping[str, float], duty: float) -> dict[str, float]:
        return shared(demands, needs, self.usable_slots(), self.use * duty)

    def _demands(self, now_s: float, newcomer: Camera | None = None) -> tuple[dict[str, Demand], dict[str, float]]:
        """What each sending camera asks for, and the interval of those that send less often than they may, s."""
        sending = {
            name: camera
            for name, camera in self._book
            if camera.sending(now_s) and camera is not newcomer and not camera.own and self.admits(camera)
        }
        if newcomer is not None:
            sending[_NEWCOMER] = newcomer
        side = self.limits.max_side
        usual_s = self._cost.at(side) or _USUAL_COST_S
        demands = {
            name: Demand(camera.cost.at(side) or usual_s, camera.policy.weight, self._floor(camera))
            for name, camera in sending.items()
        }
        self._longest_cost_s = max((demand.cost_s for demand in demands.values()), default=0.0)
        needs = {name: camera.obedience.needed_s for name, camera in sending.items()}
        return demands, {name: need_s for name, need_s in needs.items() if need_s is not None}

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
