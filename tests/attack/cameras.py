"""Four good cameras: `python -m tests.attack.cameras URL PICTURE`. Prints one JSON line for each frame.

They keep the interval of their first greeting, reconnect when they are disconnected, and count a frame without an
answer as one that took `LOST_MS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

CAMERAS = 4
LOST_MS = 5000.0
_SOCKETS = "/socket.io/?EIO=4&transport=websocket"


class GoodCamera:
    """One camera. All frames differ in their last bytes, so that none is answered from the cache."""

    def __init__(self, url: str, name: str, picture: bytes) -> None:
        self._url, self._name, self._picture = url.replace("http", "ws", 1) + _SOCKETS, name, picture
        self._interval_s: float | None = None
        self._numbers = itertools.count(1)
        self._sent_s: dict[int, float] = {}

    async def run(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(OSError, aiohttp.ClientError, asyncio.TimeoutError):
                    connecting = session.ws_connect(self._url, max_msg_size=0, compress=0)
                    async with await asyncio.wait_for(connecting, 5) as ws:
                        await self._push(ws)
                self._report_lost(older_than_s=0)
                report(name=self._name, disconnected=True, at=time.monotonic())
                await asyncio.sleep(0.2)

    async def _push(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        await ws.receive(timeout=5)
        await ws.send_str("40" + json.dumps({"name": self._name}))
        reader = asyncio.create_task(self._read(ws))
        try:
            while self._interval_s is None and not reader.done():
                await asyncio.sleep(0.01)
            next_s = time.monotonic()
            while not reader.done():
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))
                next_s = max(next_s + (self._interval_s or 1.0), time.monotonic())
                self._report_lost(older_than_s=LOST_MS / 1000)
                await self._send(ws)
        finally:
            reader.cancel()

    async def _send(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        number = next(self._numbers)
        self._sent_s[number] = time.monotonic()
        await ws.send_str(f'451-["process_frame",{{"image":{{"_placeholder":true,"num":0}},"frame_id":{number}}}]')
        await ws.send_bytes(self._picture + f"{self._name}{number:09d}".encode())

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            packet = message.data
            if packet == "2":
                await ws.send_str("3")
            elif isinstance(packet, str) and packet.startswith("42"):
                self._take(*json.loads(packet[2:]))

    def _take(self, event: str, payload: dict[str, Any]) -> None:
        if event == "connected" and self._interval_s is None:
            self._interval_s = payload["limits"]["min_interval"]
        if event in ("detection_results", "detection_error", "frame_skipped"):
            sent_s = self._sent_s.pop(payload["frame_id"], None)
            if sent_s is not None:
                took_ms = (time.monotonic() - sent_s) * 1000 if payload.get("detections") else LOST_MS
                report(name=self._name, at=sent_s, ms=round(took_ms, 2), event=payload.get("reason", event))

    def _report_lost(self, older_than_s: float) -> None:
        before_s = time.monotonic() - older_than_s
        for number, sent_s in [*self._sent_s.items()]:
            if sent_s <= before_s:
                del self._sent_s[number]
                report(name=self._name, at=sent_s, ms=LOST_MS, event="lost")


def report(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def main(url: str, picture: bytes) -> None:
    cameras = [GoodCamera(url, f"good{number}", picture) for number in range(CAMERAS)]
    await asyncio.gather(*(camera.run(number / 17) for number, camera in enumerate(cameras)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes()))
