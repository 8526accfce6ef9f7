"""The 1 Hz loop: read the sensors, decide, and hand the limits on when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from appliance.governor.policy import Policy, State, decide
from appliance.ports import Sensors
from appliance.readings import Reading
from appliance.values import Limits

log = logging.getLogger(__name__)


class Governor:
    """Keeps the last reading and state; `policy` None only watches."""

    def __init__(
        self, *, sensors: Sensors, policy: Policy | None, full: Limits, apply: Callable[[Limits], None]
    ) -> None:
        self._sensors, self._policy, self._full, self._apply = sensors, policy, full, apply
        self.state = State()
        self.limits = full
        self.reading: Reading | None = None

    async def run(self, period_s: float = 1.0) -> None:
        """Until cancelled."""
        while True:
            # Off the loop: a sensor behind a slow bus may take its time.
            self.reading = await asyncio.get_running_loop().run_in_executor(None, self._sensors.read)
            if self._policy is not None:
                self.step(self.reading, self._policy)
            await asyncio.sleep(period_s)

    def allow(self, full: Limits) -> None:
        """What a cool box may do from now on."""
        self._full = full
        if self._policy is None and full != self.limits:
            self.limits = full
            self._apply(full)

    def step(self, reading: Reading, policy: Policy) -> None:
        """One decision, told if it changes anything."""
        self.state, limits = decide(self.state, reading, policy, self._full)
        if limits != self.limits:
            log.warning(
                "cooling state %d (%s): input %d px, interval %.1f s, admit %s; %s °C, %s MB free",
                self.state.cooling, limits.reason, limits.max_side, limits.min_interval_s, limits.admit,
                reading.thermal.soc_temp_c, (reading.memory.available_bytes or 0) // 1_000_000,
            )  # fmt: skip
            self.limits = limits
            self._apply(limits)
