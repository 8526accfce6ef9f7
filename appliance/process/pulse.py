"""What the service manager hears while the service runs: ready, how it is, and that it is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.ports import Notifier
from appliance.web.health import Health


async def tell_manager(notifier: Notifier, health: Health, ready: Callable[[], None]) -> None:
    """READY=1 once the canary came back; then, every two seconds, the status and a ping that was earned."""
    while not health.ready():  # noqa: ASYNC110  # readiness is asked for, by us as by HTTP; nobody signals it
        await asyncio.sleep(0.02)
    ready()
    notifier.ready(status_line(health))
    while True:
        if health.detector.engine_failures == 0 or not health.detector.in_flight:
            notifier.alive()
        notifier.status(status_line(health))
        await asyncio.sleep(2)


def status_line(health: Health) -> str:
    """How the box is, in the line that `systemctl status` shows."""
    reading = health.governor.reading
    temp = reading.thermal.soc_temp_c if reading else None
    cameras = [stats for name, stats in health.pace.stats().items() if not name.startswith("_")]
    fps = sum(stats.answered_fps for stats in cameras)
    shown = "unknown" if temp is None else f"{temp:.0f} °C"
    return f"{len(cameras)} cameras, {fps:.1f} fps, cooling state {health.governor.state.cooling}, temperature {shown}"
