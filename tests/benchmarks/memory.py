"""Memory growth after 100,000 frames of every kind, many connections, and 1,000 cameras.

Resident memory is read after a warm-up of the same kind, and again at the end. Then resident memory with one camera,
and with pictures of many shapes besides, with and without the network for any size. `FRAMES`, `CHURN_S` and `SHAPES_S`
in the environment shorten the run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from appliance.values import Size
from appliance.vision import decode, scene
from tests.benchmarks.report import Row
from tests.benchmarks.service import Service, draw_picture, load, measure, running

FRAMES = int(os.environ.get("FRAMES", 100_000))
CHURN_S = float(os.environ.get("CHURN_S", 60))
SHAPES_S = float(os.environ.get("SHAPES_S", 60))
_CONNECTS_PER_S = 200
_SHAPES = 40
_MANY = 1000


def run(folder: Path) -> list[Row]:
    good = draw_picture(folder, Size(320, 180)).read_bytes()
    with running("flow.max_side=320", "server.max_frame_bytes=200000") as service:
        asyncio.run(_mixed(service, good, max(2000, FRAMES // 10)))
        before = _settled(service)
        started_s = time.monotonic()
        answered = asyncio.run(_mixed(service, good, FRAMES))
        mixed = Row("memory: growth over mixed frames, MB", (_settled(service) - before) / 1e6, 5.0, True,
                    f"{FRAMES} frames in {time.monotonic() - started_s:.0f} s, {answered}")  # fmt: skip
    with running("flow.max_side=320") as service:
        asyncio.run(_churn(service, max(15.0, CHURN_S / 2)))
        before = _settled(service)
        count = asyncio.run(_churn(service, CHURN_S))
        churn = Row("memory: growth over connects and disconnects, MB", (_settled(service) - before) / 1e6, 5.0, True,
                    f"{count} connections, {count / CHURN_S:.0f} per second")  # fmt: skip
    # Without the second network, which a device with few frames makes while the cameras connect: 20 MB at this size.
    with running("flow.max_side=320", "engine.any_size=off") as service:
        each = asyncio.run(_thousand(service, good))
    many = Row("memory: each of 1000 connected cameras, kB", each / 1000, 60.0, True, "after a frame from each")
    return [mixed, churn, many, *_sizes(folder)]


def _sizes(folder: Path) -> Iterator[Row]:
    """Resident memory at the usual input size."""
    picture, dice = draw_picture(folder), random.Random(24)
    shapes = []
    for number in range(_SHAPES):
        sides = Size(dice.randrange(200, 3000), dice.randrange(200, 3000))
        shapes.append(folder / f"shape-{number}.jpg")
        shapes[-1].write_bytes(decode.encode_jpeg(scene.draw(sides)[0], 80))
    for kept in ("on", "off"):
        with running(f"engine.any_size={kept}") as service:
            measure(service, picture, "--in-flight", "1", "--seconds", str(SHAPES_S / 2))
            one = _settled(service)
            with load(service.url, picture, "--in-flight", "1", "--seconds", str(SHAPES_S)):
                names = ("--picture", *map(str, shapes), "--prefix", "shapes")
                mixed = measure(service, shapes[0], *names, "--in-flight", "1", "--seconds", str(SHAPES_S))
            both = _settled(service)
        yield Row(f"memory: one camera, any_size={kept}, MB", one / 1e6, 200.0, True, "resident")
        yield Row(f"memory: and pictures of {_SHAPES} shapes, any_size={kept}, MB", both / 1e6, 300.0, True,
                  f"{mixed.answered} of them answered")  # fmt: skip


def _settled(service: Service) -> int:
    """Resident bytes, the lowest of six readings, because the allocator returns memory late."""
    gc.collect()
    readings = []
    for _ in range(6):
        time.sleep(0.5)
        readings.append(service.resident_bytes())
    return min(readings)


def _websocket(service: Service) -> str:
    return service.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"


async def _open(session: aiohttp.ClientSession, service: Service, name: str) -> aiohttp.ClientWebSocketResponse:
    ws = await session.ws_connect(_websocket(service), max_msg_size=0)
    await ws.receive()
    await ws.send_str("40" + json.dumps({"name": name}))
    while "connected" not in (await ws.receive()).data:
        pass
    return ws


async def _mixed(service: Service, good: bytes, frames: int) -> dict[str, int]:
    """Send valid, truncated, unknown and oversized pictures, invalid text and wrong types from eight cameras."""
    kinds = [good, good[: len(good) // 2], b"not a picture at all", b"\xff\xd8\xff" + bytes(400_000), "!!!", 17, None]
    ends: dict[str, int] = {}

    async def camera(number: int) -> None:
        async with aiohttp.ClientSession() as session:
            ws = await _open(session, service, f"m{number}")
            for n in range(frames // 8):
                kind = kinds[n % len(kinds)]
                if isinstance(kind, bytes):
                    await ws.send_str('451-["process_frame",{"_placeholder":true,"num":0}]')
                    await ws.send_bytes(kind + n.to_bytes(4, "big") if kind is good else kind)
                else:
                    await ws.send_str("42" + json.dumps(["process_frame", kind]))
                await _answer(ws, ends)
            await ws.close()

    await asyncio.gather(*(camera(number) for number in range(8)))
    return ends


async def _answer(ws: aiohttp.ClientWebSocketResponse, ends: dict[str, int]) -> None:
    while True:
        text = (await ws.receive()).data
        if text == "2":
            await ws.send_str("3")
        elif isinstance(text, str) and text.startswith("42"):
            event, _ = json.loads(text[2:])
            if event in ("detection_results", "detection_error", "frame_skipped"):
                ends[event] = ends.get(event, 0) + 1
                return


async def _churn(service: Service, seconds: float) -> int:
    count = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def come_and_go(number: int) -> None:
            ws = await _open(session, service, f"c{number % 5000}")
            await ws.close()

        tasks: set[asyncio.Task[None]] = set()
        started_s = time.monotonic()
        while time.monotonic() - started_s < seconds:
            while count < (time.monotonic() - started_s) * _CONNECTS_PER_S and len(tasks) < 100:
                task = asyncio.create_task(come_and_go(count))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                count += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)
    return count


async def _thousand(service: Service, good: bytes) -> float:
    """Resident bytes for each connected camera that has sent a frame."""
    ends: dict[str, int] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        warm = [await _open(session, service, f"w{number}") for number in range(50)]
        for ws in warm:
            await ws.send_str('451-["process_frame",{"_placeholder":true,"num":0}]')
            await ws.send_bytes(good)
            await _answer(ws, ends)
        before = await asyncio.to_thread(_settled, service)
        cameras = [await _open(session, service, f"k{number}") for number in range(_MANY)]
        for number, ws in enumerate(cameras):
            await ws.send_str('451-["process_frame",{"_placeholder":true,"num":0}]')
            await ws.send_bytes(good + number.to_bytes(4, "big"))
            await _answer(ws, ends)
        return (await asyncio.to_thread(_settled, service) - before) / _MANY
