"""Hours of cameras that come and go: does memory stay flat?

`make soak` runs for two hours and exits 1 if memory grew by more than 5 MB an hour in the second half, by a straight
line through it. Cameras of six shapes stay for `--stay` seconds on average, under names that return and names that
never do; every fifth vanishes in the middle of a frame. `--stay 4` is an accelerated soak. `--log FILE` keeps every
sample.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from appliance.values import Size
from tests.benchmarks.report import Row
from tests.benchmarks.service import Service, draw_picture, running

_SIZES = (Size(1920, 1080), Size(1280, 720), Size(640, 480), Size(704, 576), Size(720, 1280), Size(640, 640))
_ENDS = ("detection_results", "detection_error", "frame_skipped")
_LIMIT_MB_H = 5.0
_SAMPLE_S = 10.0


@dataclass
class Tally:
    """What the cameras did and what the service weighed."""

    cameras: int = 0
    frames: int = 0
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Time since the start, s, and memory, MB."""


def slope_mb_h(samples: Sequence[tuple[float, float]]) -> float:
    """Growth in the second half of the run, by a straight line through it."""
    half = [sample for sample in samples if sample[0] >= samples[-1][0] / 2]
    return statistics.linear_regression(*zip(*half, strict=True)).slope * 3600


async def _camera(
    service: Service, pictures: Sequence[bytes], name: str, stay_s: float, fps: float, tally: Tally
) -> None:
    dice = random.Random(name)
    picture, vanishes = dice.choice(pictures), dice.random() < 0.2
    url = service.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    until_s = time.monotonic() + stay_s
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as ws:
        await ws.receive()
        await ws.send_str("40" + json.dumps({"name": name}))
        while "connected" not in str((await ws.receive(timeout=10.0)).data):
            pass
        number = 0
        while time.monotonic() < until_s:
            number += 1
            await ws.send_str('451-["process_frame",{"_placeholder":true,"num":0}]')
            await ws.send_bytes(picture + f"{name}{number:09d}".encode())
            if await _answered(ws, 10.0):
                tally.frames += 1
            await asyncio.sleep(dice.expovariate(fps))
        if vanishes:
            await ws.send_str('451-["process_frame",{"_placeholder":true,"num":0}]')


async def _answered(ws: aiohttp.ClientWebSocketResponse, within_s: float) -> bool:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        text = (await ws.receive(timeout=within_s)).data
        if text == "2":
            await ws.send_str("3")
        elif isinstance(text, str) and text.startswith("42") and json.loads(text[2:])[0] in _ENDS:
            return True
        elif not isinstance(text, str):
            raise ConnectionError(f"the service closed the connection: {text!r}")
    return False


def _own_mb(service: Service) -> float:
    """What the service and its decoding processes wrote themselves; what these share counts once.

    Without the pages of libraries: how they are shared out depends on what else runs on this machine.
    """
    total_kb = 0
    for process in (service.process, *service.process.children(recursive=True)):
        with contextlib.suppress(OSError):  # it has just ended
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total_kb += sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total_kb / 1000


async def _soak(
    service: Service,
    pictures: Sequence[bytes],
    seconds: float,
    stay_s: float,
    fps: float,
    cameras: int,
    log: Path | None,
) -> Tally:
    tally, begun_s = Tally(), time.monotonic()
    dice = random.Random(17)

    async def place() -> None:
        while time.monotonic() - begun_s < seconds:
            tally.cameras += 1
            name = f"gate{dice.randrange(40)}" if dice.random() < 0.5 else f"guest{tally.cameras}"
            left_s = seconds - (time.monotonic() - begun_s)
            try:
                await _camera(service, pictures, name, min(dice.expovariate(1 / stay_s), left_s), fps, tally)
            except (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError) as error:
                print(f"{name}: {error!r}", file=sys.stderr)
            await asyncio.sleep(dice.expovariate(1 / (stay_s / 10)))

    async def weigh() -> None:
        while time.monotonic() - begun_s < seconds:
            await asyncio.sleep(_SAMPLE_S)
            sample = (time.monotonic() - begun_s, await asyncio.to_thread(_own_mb, service))
            tally.samples.append(sample)
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"{sample[0]:.0f} {sample[1]:.1f} {tally.cameras} {tally.frames}\n")

    await asyncio.gather(weigh(), *(place() for _ in range(cameras)))
    return tally


def soak(minutes: float, stay_s: float, fps: float, cameras: int, log: Path | None = None) -> Row:
    with tempfile.TemporaryDirectory() as folder, running("cache.enabled=true") as service:
        pictures = [draw_picture(Path(folder), size).read_bytes() for size in _SIZES]
        tally = asyncio.run(_soak(service, pictures, minutes * 60, stay_s, fps, cameras, log))
    first, last = tally.samples[len(tally.samples) // 2][1], tally.samples[-1][1]
    what = f"{minutes:g} min, {tally.cameras} cameras, {tally.frames} frames; from {first:.0f} to {last:.0f} MB"
    return Row("soak: growth in the second half, MB an hour", slope_mb_h(tally.samples), _LIMIT_MB_H, True, what)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--stay", type=float, default=60.0, help="seconds that a camera stays, on average")
    parser.add_argument("--fps", type=float, default=1.0, help="frames a second of each camera, on average")
    parser.add_argument("--cameras", type=int, default=4, help="cameras connected at a time")
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    row = soak(arguments.minutes, arguments.stay, arguments.fps, arguments.cameras, arguments.log)
    print(row)
    sys.exit(0 if row.value <= _LIMIT_MB_H else 1)


if __name__ == "__main__":
    main()
