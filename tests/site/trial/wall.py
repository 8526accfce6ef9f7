"""A wall of all cameras: a viewer subscribed to `*` on one device, from the beginning to the end."""

from __future__ import annotations

from typing import Any

import socketio

from tests.site.trial.lab import Device


class Wall:
    """What a viewer of one device has seen, by camera and frame. It connects again by itself."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.seen: set[tuple[str, int]] = set()
        self._client: Any = socketio.AsyncClient(handle_sigint=False, reconnection_delay_max=1)
        self._client.on("detection_results", self._result)
        self._client.on("connected", self._subscribe)

    async def connect(self) -> None:
        await self._client.connect(f"http://{self.device.address}:{self.device.port}", transports=["websocket"])

    async def close(self) -> None:
        await self._client.shutdown()

    async def _subscribe(self, payload: Any) -> None:
        await self._client.emit("subscribe", {"cameras": "*"})

    def _result(self, payload: dict[str, Any]) -> None:
        self.seen.add((payload["camera"], payload["frame_id"]))
