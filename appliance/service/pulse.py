"""Report to the service manager: starting, ready, status, alive.

Rules of this file:
- READY=1 is sent once the self-test has passed; in safe mode too, since the device stays up to report the fault.
- The watchdog ping is earned: the event loop sends it, and only while no frame is past its deadline. Heat, load and
  failing frames are no reason for a restart; a hung engine is.
- A start may take long as long as it makes progress: it asks for more time in small steps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import anyio

from appliance.device import systemd
from appliance.ports import Clock, Notifier
from appliance.vitals.collect import Vitals

log = logging.getLogger(__name__)

T = TypeVar("T")

_MORE_S = 30.0
_LONGEST_LOAD_S = 600.0
"""Longest time to load a model; a Raspberry Pi compiles one in seconds."""
_STATUS_S = 2.0


def ping_every_s(watchdog_s: float | None) -> float:
    """Time between two pings, s: at most half of the watchdog's timeout, and often enough for a fresh status."""
    return _STATUS_S if watchdog_s is None else min(_STATUS_S, watchdog_s / 2)


async def load_with_patience(notifier: Notifier, load: Callable[[], T]) -> T:
    """Run `load` on another thread and return its result, while asking the service manager for more time."""
    async with anyio.create_task_group() as group:
        group.start_soon(_ask_for_time, notifier, name="ask for time")
        loaded = await asyncio.get_running_loop().run_in_executor(None, load)
        group.cancel_scope.cancel()
    return loaded


class Pulse:
    """Reports to the service manager for a service whose port is open.

    `ready` is called once the self-test has passed. `every_s`: time between two pings.
    """

    def __init__(
        self,
        notifier: Notifier,
        vitals: Vitals,
        *,
        ready: Callable[[], None],
        every_s: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self._notifier, self._vitals, self._ready = notifier, vitals, ready
        self._every_s, self._clock = every_s, clock
        self._up = False

    async def run(self) -> None:
        """Ping until cancelled."""
        await self._start()
        self._up = True
        self._notifier.notify(systemd.READY, systemd.status(self.status()))
        proved = False
        while True:
            if self._vitals.ready() and not proved:
                proved = True
                self._ready()
            if self._vitals.stuck:
                log.error(
                    "inference hung; waiting for the watchdog to restart the service",
                    extra={"kind": "stuck", "code": "engine_stuck"},
                )
                self._notifier.notify(systemd.status("stuck: inference hung"))
            else:
                self._notifier.notify(systemd.ALIVE, systemd.status(self.status()))
            await asyncio.sleep(self._every_s)

    def reloading(self) -> None:
        """A reload has begun."""
        if self._up:
            self._notifier.notify(systemd.reloading(self._clock()))

    def reloaded(self) -> None:
        """The reload is over, whether it changed anything or not."""
        if self._up:
            self._notifier.notify(systemd.READY, systemd.status(self.status()))

    def status(self) -> str:
        """The device's state in the line that `systemctl status` shows. A report that fails is no reason to restart."""
        try:
            return self._status()
        except Exception:
            log.exception("cannot report the state of the device", extra={"kind": "status"})
            return "state unknown: see the log"

    def _status(self) -> str:
        problem = self._vitals.unable()
        if problem is not None:
            return f"safe mode: {problem}"
        snapshot = self._vitals.snapshot()
        worst = "" if snapshot.status == "ok" else f" ({snapshot.findings[0].code})"
        cameras = snapshot.cameras.values()
        fps = sum(camera.answered_fps for camera in cameras)
        temp_c = snapshot.reading.thermal.soc_temp_c
        shown = "temperature unknown" if temp_c is None else f"{temp_c:.0f} °C"
        return f"{snapshot.status}{worst}: {len(cameras)} camera{'s' * (len(cameras) != 1)}, {fps:.1f} fps, {shown}"

    async def _start(self) -> None:
        vitals, ask_at_s = self._vitals, self._clock()
        while not vitals.ready() and (vitals.stuck or vitals.unable() is None):
            if self._clock() >= ask_at_s and not vitals.stuck:
                self._notifier.notify(systemd.more_time(_MORE_S), systemd.status(f"starting; {self.status()}"))
                ask_at_s = self._clock() + _MORE_S / 3
            await asyncio.sleep(0.02)  # nothing signals readiness; it is polled, here and over HTTP


async def _ask_for_time(notifier: Notifier) -> None:
    for _ in range(round(_LONGEST_LOAD_S / (_MORE_S / 3))):
        notifier.notify(systemd.more_time(_MORE_S), systemd.status("starting: loading the model"))
        await asyncio.sleep(_MORE_S / 3)
