"""The 1 Hz loop: read the sensors, decide, hand the limits on when they change, and say why."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from appliance.governor import words
from appliance.governor.policy import Hold, Policy, State, decide, limits_of, release, target_c
from appliance.ports import Clock, Sensors
from appliance.readings import Reading
from appliance.values import Limits

log = logging.getLogger(__name__)


class Governor:
    """Keeps the last reading and state; `policy` None only watches.

    `hung_s`: sensors that take longer are not waited for: what they said last grows old, and the policy knows.
    """

    def __init__(
        self,
        *,
        sensors: Sensors,
        policy: Policy | None,
        full: Limits,
        apply: Callable[[Limits], None],
        clock: Clock = time.monotonic,
        hung_s: float = 5.0,
    ) -> None:
        self._sensors, self._apply, self._clock, self._hung_s = sensors, apply, clock, hung_s
        self.policy = policy
        self.state = State()
        self._begun_s = clock()
        self.limits = limits_of(self.state, policy.ladder) if policy is not None else full
        self.reading: Reading | None = None

    async def run(self, period_s: float = 1.0) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[Reading] | None = None
        while True:
            # Off the loop: a sensor behind a slow bus may take its time.
            pending = pending or loop.run_in_executor(None, self._sensors.read)
            await asyncio.wait({pending}, timeout=self._hung_s)
            if pending.done():
                self.reading, pending = self._reading_of(pending), None
            elif self.reading is not None:
                self.reading = replace(self.reading, at_s=self._clock())
            self._step()
            await asyncio.sleep(period_s)

    def _reading_of(self, read: asyncio.Future[Reading]) -> Reading:
        """What the sensors say; where reading them failed, what they said last, which grows old."""
        error = read.exception()
        if error is None:
            return read.result()
        log.error("the sensors cannot be read: %s", error, exc_info=error, extra={"kind": "sensors"})
        return replace(self.reading or Reading(at_s=0.0), at_s=self._clock())

    def follow(self, policy: Policy | None, full: Limits) -> None:
        """Other settings hold from now on; the cooling state stays, if there still is such a one."""
        self.policy = policy
        if policy is not None:
            self.state = replace(self.state, cooling=min(self.state.cooling, policy.ladder.last))
        limits = full if policy is None else limits_of(self.state, policy.ladder)
        if limits != self.limits:
            self.limits = limits
            self._apply(limits)

    def hold(self, cooling: int, for_s: float) -> None:
        """Stay in this cooling state so long, s, whatever the temperature below the critical point. Raises ValueError
        for a state that there is none of, or when nothing is governed.
        """
        if self.policy is None:
            raise ValueError("the governor is off (governor.enabled = false)")
        if not 0 <= cooling <= self.max_state:
            raise ValueError(f"there is no cooling state {cooling}: they go from 0 (full work) to {self.max_state}")
        self.state = replace(self.state, hold=Hold(cooling, self._clock() + for_s))
        log.warning("a technician holds cooling state %d for %.0f s", cooling, for_s, extra={"cooling_state": cooling})
        self._again()

    def release(self) -> None:
        """End a hold; the governor finds its own way from there."""
        if self.state.hold is not None:
            self.state = release(self.state)
            log.warning("the held cooling state is released", extra={"cooling_state": self.cur_state})
            self._again()

    @property
    def cur_state(self) -> int:
        """The cooling state: 0 is full work."""
        return self.state.cooling

    @property
    def max_state(self) -> int:
        """The last cooling state, in which nothing is inferred."""
        return self.policy.ladder.last if self.policy is not None else 0

    @property
    def transitions(self) -> int:
        """Changes of cooling state since the start."""
        return self.state.transitions

    @property
    def time_in_state_s(self) -> float:
        """Since the cooling state last changed, or since the start."""
        return max(0.0, self._clock() - max(self.state.since_s, self._begun_s))

    @property
    def held_for_s(self) -> float | None:
        """What is left of a hold; None: not held."""
        return max(0.0, self.state.hold.until_s - self._clock()) if self.state.hold is not None else None

    @property
    def target_c(self) -> float | None:
        """The temperature that the chip is kept below; None: nothing is governed."""
        if self.policy is None:
            return None
        return target_c(self.reading, self.policy) if self.reading is not None else self.policy.target_temp_c

    def _again(self) -> None:
        if self.reading is not None:
            self.reading = replace(self.reading, at_s=self._clock())
            self._step()

    def _step(self) -> None:
        """One decision, told if it changes anything."""
        policy, reading = self.policy, self.reading
        if policy is None or reading is None:
            return
        before = self.state
        self.state, limits = decide(before, reading, policy)
        line = words.change(before, self.state, reading, policy.ladder, target_c(reading, policy))
        if line is not None:
            extra = {"cooling_state": self.state.cooling, "reason": limits.reason}
            log.warning("%s", line, extra=extra)
        if limits != self.limits:
            self.limits = limits
            self._apply(limits)
