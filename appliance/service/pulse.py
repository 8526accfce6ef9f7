"""What the service manager hears while the service runs: that it starts, is ready, how it is, and that it is alive.

Rules of this file:
- READY=1 comes when the canary's box came back; and from a box in safe mode, which is to stay up and say what to mend.
- The ping is earned: it comes from the event loop, and only while no frame is past its deadline. Heat, load and frames
  that fail are no reason to be restarted; an engine that hangs is.
- A start may be slow as long as it goes on: more time is asked for in short pieces, and earned like the ping.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import anyio

from appliance.device import systemd
from appliance.health.findings import status_of
from appliance.ports import Clock, Notifier
from appliance.web.health import Health

log = logging.getLogger(__name__)

T = TypeVar("T")

_MORE_S = 30.0
_LONGEST_LOAD_S = 600.0
"""A model that is not loaded by then never will be; a Raspberry Pi compiles one in seconds."""
_STATUS_S = 2.0
_ENOUGH_FAILURES = 3


def ping_every_s(watchdog_s: float | None) -> float:
    """Between two pings, s: half of what the watchdog waits at most, and often enough for a fresh status."""
    return _STATUS_S if watchdog_s is None else min(_STATUS_S, watchdog_s / 2)


async def load_with_patience(notifier: Notifier, load: Callable[[], T]) -> T:
    """What `load` returns, run on a thread of its own; meanwhile the service manager is asked for more time."""
    async with anyio.create_task_group() as group:
        group.start_soon(_ask_for_time, notifier, name="patience")
        loaded = await asyncio.get_running_loop().run_in_executor(None, load)
        group.cancel_scope.cancel()
    return loaded


class Pulse:
    """Speaks for a service whose port is open. `ready` is called when the canary's box has come back.

    `every_s`: between two pings.
    """

    def __init__(
        self, notifier: Notifier, health: Health, *, ready: Callable[[], None], every_s: float, clock: Clock
    ) -> None:
        self._notifier, self._health, self._ready = notifier, health, ready
        self._every_s, self._clock = every_s, clock
        self._up = False

    async def run(self) -> None:
        """Until cancelled."""
        await self._start()
        self._up = True
        self._notifier.tell(systemd.READY, systemd.status(self.status()))
        proved = False
        while True:
            if self._health.ready() and not proved:
                proved = True
                self._ready()
            if self._health.detector.stuck:
                log.error(
                    "an inference does not come back; the service manager is to restart this service",
                    extra={"kind": "stuck", "code": "engine_stuck"},
                )
                self._notifier.tell(systemd.status("stuck: an inference does not come back"))
            else:
                self._notifier.tell(systemd.ALIVE, systemd.status(self.status()))
            await asyncio.sleep(self._every_s)

    def reloading(self) -> None:
        """A reload has begun."""
        if self._up:
            self._notifier.tell(systemd.reloading(self._clock()))

    def reloaded(self) -> None:
        """It is over, whether it changed anything or not."""
        if self._up:
            self._notifier.tell(systemd.READY, systemd.status(self.status()))

    def status(self) -> str:
        """How the device is, in the line that `systemctl status` shows. A report that fails is no reason to restart."""
        try:
            return self._status()
        except Exception:
            log.exception("the state of the device cannot be reported", extra={"kind": "status"})
            return "state unknown: see the log"

    def _status(self) -> str:
        health = self._health
        why = why_safe(health)
        if why is not None:
            return f"safe mode: {why}"
        findings = health.findings()
        state = status_of(findings)
        worst = "" if state == "ok" else f" ({findings[0].code})"
        reading = health.governor.reading
        temp_c = reading.thermal.soc_temp_c if reading else None
        cameras = [stats for name, stats in health.pace.stats().items() if not name.startswith("_")]
        fps = sum(stats.answered_fps for stats in cameras)
        shown = "temperature unknown" if temp_c is None else f"{temp_c:.0f} °C"
        return f"{state}{worst}: {len(cameras)} camera{'s' * (len(cameras) != 1)}, {fps:.1f} fps, {shown}"

    async def _start(self) -> None:
        health, ask_at_s = self._health, self._clock()
        while not health.ready() and (health.detector.stuck or why_safe(health) is None):
            if self._clock() >= ask_at_s and not health.detector.stuck:
                self._notifier.tell(systemd.more_time(_MORE_S), systemd.status(f"starting; {self.status()}"))
                ask_at_s = self._clock() + _MORE_S / 3
            await asyncio.sleep(0.02)  # readiness is asked for, by us as by HTTP; nobody signals it


def why_safe(health: Health) -> str | None:
    """What is to be mended, of a box that is up and reachable but can answer no frame; None of any other."""
    canary = health.canary.state
    if health.detector.network is None:
        return str(health.detector.model_error)
    if not canary.proved and canary.failures >= _ENOUGH_FAILURES:
        return f"the known picture does not come back as it should: {canary.message}"
    return None


async def _ask_for_time(notifier: Notifier) -> None:
    for _ in range(round(_LONGEST_LOAD_S / (_MORE_S / 3))):
        notifier.tell(systemd.more_time(_MORE_S), systemd.status("starting: loading the model"))
        await asyncio.sleep(_MORE_S / 3)
