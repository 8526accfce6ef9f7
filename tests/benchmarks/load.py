"""Load generator: many lightweight cameras in a separate process, using Socket.IO over a plain WebSocket.

`python -m tests.benchmarks.load --url … --cameras 4 --picture p.jpg --seconds 10` prints one JSON object.
`--mode closed`: a fixed number of frames in flight. `rate`: a fixed rate, whatever the limits. `obey`: obey the limits.
`post`: HTTP requests to `/detect`, one after the other; with `--upload /path` as a form with a file, as other servers
want it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

ENDS = ("detection_results", "detection_error", "frame_skipped")


@dataclass(slots=True)
class Tally:
    """The results of one camera. Times are in s since the start of the measurement."""

    sent: int = 0
    answered: int = 0
    """Frames of `sent` that got a result."""
    arrived: int = 0
    """Results that arrived during the measurement. Under a flood, many are of frames that were sent before it."""
    errors: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    answered_at_s: list[float] = field(default_factory=list)
    skipped_at_s: list[float] = field(default_factory=list)
    oldest_s: float = 0.0
    """The oldest answer as the device counts it: from the frame's arrival on."""


class LoadCamera:
    """One camera. All frames differ in their last bytes, so that none is answered from the cache."""

    def __init__(
        self,
        url: str,
        name: str,
        pictures: list[bytes],
        mode: str,
        rate: float,
        in_flight: int,
        text: bool = False,
        upload: str = "",
    ) -> None:
        self.http_url = f"{url}{upload or '/detect'}"
        self.uploads = bool(upload)
        self.url = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        self.name, self.pictures, self.mode, self.rate, self.in_flight = name, pictures, mode, rate, in_flight
        self.text = text
        """Send base64 text without options, as old clients do; answers then have no frame_id."""
        self.tally = Tally()
        self.started_s = self.ended_s = float("inf")
        self.interval_s = 0.0
        self._number = 0
        self._sent_s: dict[int, float] = {}
        self._free = asyncio.Event()
        self._connected = asyncio.Event()

    async def run(self, session: aiohttp.ClientSession, until: asyncio.Event) -> None:
        if self.mode == "post":
            await self._post(session, until)
            return
        async with session.ws_connect(self.url, max_msg_size=0, compress=0) as ws:
            await ws.receive()
            await ws.send_str("40" + json.dumps({"name": self.name}))
            reader = asyncio.create_task(self._read(ws))
            sender = asyncio.create_task(self._send(ws))
            await until.wait()
            sender.cancel()
            await asyncio.sleep(0.3)
            reader.cancel()
            await asyncio.gather(reader, sender, return_exceptions=True)

    async def _post(self, session: aiohttp.ClientSession, until: asyncio.Event) -> None:
        while not until.is_set():
            self._number += 1
            picture, sent_s = self._picture(), time.monotonic()
            data: bytes | aiohttp.FormData = picture
            if self.uploads:
                data = aiohttp.FormData()
                data.add_field("picture", picture, filename="picture.jpg", content_type="image/jpeg")
            async with session.post(self.http_url, data=data, params={"camera": self.name}) as response:
                event = "detection_results" if response.status == 200 else "detection_error"
                payload = await response.json()
            self._sent_s[self._number] = sent_s
            if sent_s >= self.started_s:
                self.tally.sent += 1
            self._take(event, payload | {"frame_id": self._number})

    def _picture(self) -> bytes:
        return self.pictures[self._number % len(self.pictures)] + f"{self.name}{self._number:09d}".encode()

    async def _send(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        await self._connected.wait()
        next_s = time.monotonic()
        while True:
            if self.mode == "closed":
                while len(self._sent_s) >= self.in_flight:
                    self._free.clear()
                    await self._free.wait()
            else:
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))
                interval_s = self.interval_s if self.mode == "obey" else 1 / self.rate
                next_s = max(next_s + interval_s, time.monotonic() - 0.05)
                if self.mode == "obey":
                    next_s = time.monotonic() + max(interval_s, 1 / self.rate)
            await self._send_one(ws)

    async def _send_one(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._number += 1
        picture = self._picture()
        now = time.monotonic()
        if now >= self.started_s:
            self.tally.sent += 1
        self._sent_s[self._number] = now
        if self.text:
            await ws.send_str(f'42["process_frame","{base64.b64encode(picture).decode()}"]')
            return
        await ws.send_str(
            f'451-["process_frame",{{"image":{{"_placeholder":true,"num":0}},"frame_id":{self._number}}}]'
        )
        await ws.send_bytes(picture)

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            text = message.data
            if text == "2":
                await ws.send_str("3")
            elif isinstance(text, str) and text.startswith("42"):
                event, payload = json.loads(text[2:])
                self._take(event, payload)

    def _take(self, event: str, payload: dict[str, Any]) -> None:
        if event in ("connected", "limits"):
            limits = payload.get("limits", payload)
            self.interval_s = limits.get("min_interval", 0.0)
            self._connected.set()
            return
        if event not in ENDS:
            return
        now = time.monotonic()
        oldest = next(iter(self._sent_s), None)
        sent_s = self._sent_s.pop(oldest if self.text and oldest is not None else payload.get("frame_id", 0), None)
        self._free.set()
        if sent_s is None or now < self.started_s:
            return
        since_s = now - self.started_s
        if event == "detection_results" and now <= self.ended_s:
            self.tally.arrived += 1
            self.tally.latencies_ms.append((now - sent_s) * 1000)
            self.tally.answered_at_s.append(since_s)
        if sent_s < self.started_s:
            return
        if event == "detection_results":
            self.tally.answered += 1
            if "timing" in payload:
                self.tally.oldest_s = max(self.tally.oldest_s, payload["timing"]["total_ms"] / 1000)
        elif event == "frame_skipped":
            reason = payload["reason"]
            self.tally.skipped[reason] = self.tally.skipped.get(reason, 0) + 1
            self.tally.skipped_at_s.append(since_s)
        else:
            self.tally.errors += 1


async def push(cameras: list[LoadCamera], warm_up_s: float, seconds: float, mark: bool = False) -> None:
    """Let the cameras send; frames of the warm-up are not counted. `mark`: print "started" and "ended"."""
    until = asyncio.Event()
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(camera.run(session, until)) for camera in cameras]
        await asyncio.sleep(warm_up_s)
        if mark:
            print("started", flush=True)
        started_s = time.monotonic()
        for camera in cameras:
            camera.started_s = started_s
        await asyncio.sleep(seconds)
        if mark:
            print("ended", flush=True)
        for camera in cameras:
            camera.ended_s = time.monotonic()
        until.set()
        await asyncio.gather(*tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--picture", type=Path, nargs="+", required=True)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--mode", choices=("closed", "rate", "obey", "post"), default="closed")
    parser.add_argument(
        "--rate", type=float, nargs="+", default=[1000.0], help="frames per second, one value for each camera"
    )
    parser.add_argument("--in-flight", type=int, default=2)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--prefix", default="cam")
    parser.add_argument("--text", action="store_true", help="send base64 text without options")
    parser.add_argument("--upload", default="", help="path to which `post` uploads pictures as a form, field `picture`")
    arguments = parser.parse_args()
    pictures = [path.read_bytes() for path in arguments.picture]
    cameras = [
        LoadCamera(
            arguments.url, f"{arguments.prefix}{number}", pictures, arguments.mode,
            arguments.rate[number % len(arguments.rate)], arguments.in_flight, arguments.text,
            arguments.upload,
        )
        for number in range(arguments.cameras)
    ]  # fmt: skip
    asyncio.run(push(cameras, arguments.warm_up, arguments.seconds, mark=True))
    report = {
        camera.name: {name: getattr(camera.tally, name) for name in Tally.__dataclass_fields__} for camera in cameras
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
