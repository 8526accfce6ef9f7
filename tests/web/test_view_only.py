"""With `require_token`, a client with the viewer token may subscribe but not send frames."""

from __future__ import annotations

from typing import Any

import socketio

from tests.conftest import Serve


async def test_a_viewer_without_a_name_cannot_send_frames(serve: Serve, scene_jpeg: bytes) -> None:
    settings = {"server__require_token": "true", "server__viewer_token": "look"}
    async with serve(**settings) as running:
        for _ in range(40):  # one session id in 32 is not a valid camera name, and is replaced
            client = socketio.AsyncSimpleClient()
            await client.connect(running.url, auth={"token": "look"}, transports=["websocket"])
            await client.emit("process_frame", scene_jpeg)
            answer: list[Any] = ["connected"]
            while answer[0] in ("connected", "limits"):
                answer = await client.receive(timeout=10)
            await client.disconnect()
            assert (answer[0], answer[1]["code"]) == ("detection_error", "unauthorized")
