"""The 1 Hz loop: read the sensors, decide, apply changed limits, and log why."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from appliance.governor import clocks, words
from appliance.governor.policy import HeldLevel, State, believed, decide, limits_of, present_target_c, release
from appliance.governor.targets import Policy
from appliance.ports import Clock, ClockCap, Sensors
from appliance.readings import Reading
from appliance.values import Limits

log = logging.getLogger(__name__)


class Governor:
    """Runs the policy and keeps the last reading and state. Without a policy (None) it only monitors.

    `reading` is what is believed of the last reading of the sensors: one bad sample never appears in it.

    `frame_ms`: what a frame costs now at each input size (`Reading.frame_ms`). `engine_busy`: the part of the engine's
    time that was used since it was called last (`Reading.engine_busy`).
    `hung_s`: the longest wait for the sensors. After that the last reading stays in use, ages, and the policy sees
    its age.
    """

    def __init__(
        self,
        *,
        sensors: Sensors,
        policy: Policy | None,
        full: Limits,
        apply: Callable[[Limits], None],
        clock: Clock = time.monotonic,
        cap: ClockCap | None = None,
        frame_ms: Callable[[], Mapping[int, float]] = dict,
        engine_busy: Callable[[], float | None] = lambda: None,
        hung_s: float = 5.0,
    ) -> None:
        self._sensors, self._apply, self._clock, self._hung_s = sensors, apply, clock, hung_s
        self.policy = policy
        self.state = State()
        self._begun_s = clock()
        self.limits = limits_of(self.state, policy.ladder) if policy is not None else full
        self.reading: Reading | None = None
        self._read: Reading | None = None
        self._frame_ms, self._engine_busy = frame_ms, engine_busy
        self._cap, self._clock_choice = cap, clocks.ClockChoice()

    async def run(self, period_s: float = 1.0) -> None:
        """Run until cancelled."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[Reading] | None = None
        while True:
            # In a thread: a sensor on a slow bus can block for a long time.
            pending = pending or loop.run_in_executor(None, self._sensors.read)
            await asyncio.wait({pending}, timeout=self._hung_s)
            if pending.done():
                self._decide(self._reading_of(pending))
                pending = None
            else:
                self._decide_now()
            await asyncio.sleep(period_s)

    def _reading_of(self, read: asyncio.Future[Reading]) -> Reading:
        """Return the new reading, or the ageing last one if reading the sensors failed."""
        error = read.exception()
        if error is None:
            return read.result()
        log.error("cannot read the sensors: %s", error, exc_info=error, extra={"kind": "sensors"})
        return replace(self._read or Reading(at_s=0.0), at_s=self._clock())

    def follow(self, policy: Policy | None, full: Limits) -> None:
        """Apply new settings; keep the throttle level, or the nearest one that still exists."""
        self.policy = policy
        if policy is None and self._cap is not None:
            self._cap.ask(100)
        if policy is not None:
            self.state = replace(self.state, cooling=min(self.state.cooling, policy.ladder.last))
        limits = full if policy is None else limits_of(self.state, policy.ladder)
        if limits != self.limits:
            self.limits = limits
            self._apply(limits)

    def hold(self, cooling: int, for_s: float) -> None:
        """Stay at this throttle level for `for_s` seconds, at any temperature below the critical point.

        Raises ValueError for a nonexistent level, or when the governor is off.
        """
        if self.policy is None:
            raise ValueError("the governor is off. Set governor.enabled = true")
        if not 0 <= cooling <= self.max_state:
            raise ValueError(
                f"throttle level {cooling} does not exist. Choose 0 (full performance) to {self.max_state}"
            )
        self.state = replace(self.state, hold=HeldLevel(cooling, self._clock() + for_s))
        log.warning(
            "throttle level held manually: level=%d for=%.0f s", cooling, for_s, extra={"cooling_state": cooling}
        )
        self._decide_now()

    def release(self) -> None:
        """End a manual hold and return to automatic control."""
        if self.state.hold is not None:
            self.state = release(self.state)
            log.warning("manual hold of the throttle level released", extra={"cooling_state": self.cur_state})
            self._decide_now()

    @property
    def cur_state(self) -> int:
        """The throttle level; 0 is full performance."""
        return self.state.cooling

    @property
    def max_state(self) -> int:
        """The last throttle level, at which inference is off."""
        return self.policy.ladder.last if self.policy is not None else 0

    @property
    def transitions(self) -> int:
        """Number of changes of the throttle level since the start."""
        return self.state.transitions

    @property
    def time_in_state_s(self) -> float:
        """Seconds since the last change of throttle level, or since the start."""
        return max(0.0, self._clock() - max(self.state.since_s, self._begun_s))

    @property
    def held_for_s(self) -> float | None:
        """Remaining time of a manual hold; None: not held."""
        return max(0.0, self.state.hold.until_s - self._clock()) if self.state.hold is not None else None

    @property
    def target_c(self) -> float | None:
        """The temperature to keep the chip below; None: the governor is off."""
        if self.policy is None:
            return None
        if self.reading is None:
            return self.policy.target_temp_c
        return present_target_c(self.state, self.reading, self.policy)

    @property
    def _clock_percent(self) -> int:
        return self._cap.percent if self._cap is not None else 100

    def _capped(self, limits: Limits, lowest_percent: int) -> Limits:
        """Ask for the clock that fits the limits, and return them for the clock in effect."""
        if self._cap is None:
            return limits
        duty = limits.duty if limits.admit else 0.0
        self._clock_choice = clocks.next_clock(self._clock_choice, duty, lowest_percent, self._clock())
        self._cap.ask(self._clock_choice.percent)
        return clocks.spread(limits, self._cap.percent)

    def _decide_now(self) -> None:
        if self._read is not None:
            self._decide(replace(self._read, at_s=self._clock()))

    def _decide(self, read: Reading) -> None:
        """Make one decision from what the sensors returned; log and apply it if anything changes."""
        policy, before = self.policy, self.state
        read = replace(read, frame_ms=self._frame_ms(), engine_busy=self._engine_busy())
        belief, reading = believed(before, read)
        self._read, self.reading = read, reading
        if policy is None:
            self.state = replace(before, belief=belief)
            return
        self.state, limits = decide(before, clocks.at_full_clock(read, self._clock_percent), policy)
        limits = self._capped(limits, policy.lowest_clock_percent)
        line = words.change(before, self.state, reading, policy.ladder, present_target_c(self.state, reading, policy))
        if line is not None:
            extra = {"cooling_state": self.state.cooling, "reason": limits.reason}
            log.warning("%s", line, extra=extra)
        if limits != self.limits:
            self.limits = limits
            self._apply(limits)
