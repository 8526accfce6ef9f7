"""Let objects appear before the cameras of a running service."""

from __future__ import annotations

import itertools

from tests.conftest import Running
from tests.fakes import FakeEngine
from tests.web.camera import Camera
from tests.web.requests import picture

SIGN = (10, 30, 110, 120, 0.9, 2)
PERSON = (300, 30, 360, 200, 0.9, 0)
FAST = {"events.on_delay_s": "0", "events.off_delay_s": "0", "cache.enabled": "false"}
"""Settings with which each frame is processed, and its objects start and end at once."""

_numbers = itertools.count()


async def show(running: Running, gate: Camera, *rows: tuple[float, ...]) -> None:
    """Send frames with these objects until one is processed: several in a row may be over the rate limit."""
    running.engine.rows = FakeEngine(rows).rows
    while True:
        frame_id = next(_numbers)
        await gate.push({"image": picture(1), "frame_id": frame_id})
        if (await gate.answer(frame_id))[0] == "detection_results":
            return


async def appear(running: Running, gate: Camera) -> None:
    """Let an object appear before the camera and vanish again."""
    await show(running, gate, SIGN)
    await show(running, gate)
