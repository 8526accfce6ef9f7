"""Run the device at full load for a while, with drawn pictures through the real path, and count."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio

from appliance.errors import EngineError
from appliance.ports import Clock
from appliance.values import Detected, Failed, Frame, Outcome, Picture, ResultFilter, Size
from appliance.vision import decode, scene

CAMERAS = 4
"""Own cameras that send at once: enough to keep every worker busy."""
_PICTURES = 8
_SIZE = Size(1280, 720)
_PAUSE_S = 0.05
"""After a frame that was not processed."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was processed."""

    frames: int
    fps: float
    infer_ms: float


async def run(ask: Callable[[Frame], Awaitable[Outcome]], for_s: float, clock: Clock) -> Throughput:
    """Send frames for `for_s` seconds, each camera the next one as soon as the last is answered.

    Raises EngineError if nothing was processed.
    """
    pictures = await asyncio.to_thread(_draw)
    numbers, times_ms, failures = itertools.count(), list[float](), list[str]()
    began_s = clock()

    async def send(camera: str) -> None:
        while clock() - began_s < for_s:
            number = next(numbers)
            frame = Frame(
                camera, camera, number, _numbered(pictures[number % _PICTURES], number), ResultFilter(0.25), clock()
            )
            outcome = await ask(frame)
            if isinstance(outcome, Detected) and not outcome.cached:
                times_ms.append(outcome.timing.infer_ms)
                continue
            if isinstance(outcome, Failed):
                failures.append(outcome.message)
            await asyncio.sleep(_PAUSE_S)

    async with anyio.create_task_group() as group:
        for number in range(CAMERAS):
            group.start_soon(send, f"_benchmark-{number}")
    if not times_ms:
        raise EngineError(f"no frame was processed: {failures[-1] if failures else 'the device refuses all frames'}")
    return Throughput(len(times_ms), len(times_ms) / (clock() - began_s), statistics.median(times_ms))


def _numbered(picture: Picture, number: int) -> Picture:
    """The same picture with a comment of its own: the cache answers for identical bytes."""
    comment = b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big")
    return replace(picture, data=picture.data[:2] + comment + picture.data[2:])


def _draw() -> list[Picture]:
    """Pictures that differ enough for the scene gate to let each through."""
    drawn = [scene.draw(_SIZE, at=(number + 0.5) / _PICTURES, seed=number)[0] for number in range(_PICTURES)]
    return [decode.read_header(decode.encode_jpeg(pixels, 85), _SIZE.width * _SIZE.height) for pixels in drawn]
