"""The agent at a site, with a device that skips its frame, asks it to wait, and then sends it to another device.

The other device is busy: it asks for a long interval at once.
"""

from __future__ import annotations

from typing import Any

import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.camera.agents import FakeSource, pushing, until

LIMITS = {"min_interval": 0.01, "max_side": 640, "jpeg_quality": 80, "reason": "normal"}
LONG_S = 3000


async def test_an_agent_does_not_wait_on_another_device_for_what_the_last_one_asked() -> None:
    server: Any = socketio.AsyncServer(async_mode="aiohttp")
    app = web.Application()
    server.attach(app)
    connections: list[str] = []

    async def connect(sid: str, environ: Any, auth: Any) -> None:
        connections.append(sid)
        limits = LIMITS if sid == connections[0] else LIMITS | {"min_interval": LONG_S}
        await server.emit("connected", {"status": "connected", "camera": "lens", "limits": limits}, to=sid)

    async def process_frame(sid: str, frame: Any) -> dict[str, Any]:
        answer = {"frame_id": frame["frame_id"], "model": "m", "detections": []}
        if sid == connections[0]:
            await server.emit("frame_skipped", {**answer, "reason": "hot", "retry_after": LONG_S}, to=sid)
            await server.emit("moved", {"reason": "hot", "moved": "box2"}, to=sid)
        else:
            await server.emit("detection_results", answer, to=sid)
        return {"status": "queued", "limits": LIMITS}

    server.on("connect", connect)
    server.on("process_frame", process_frame)
    async with TestServer(app) as device, pushing(str(device.make_url("")), FakeSource()) as results:
        await until(results, 1)
    assert len(connections) == 2
    await server.shutdown()
