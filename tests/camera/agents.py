"""An agent at work in this process, on a source that remembers what was asked of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from appliance.camera.agent import Agent, FrameResult
from appliance.camera.sources.source import Capture
from appliance.errors import SourceError
from appliance.values import CameraLimits
from tests.web.requests import picture


class FakeSource:
    """So many pictures, each another one."""

    def __init__(self, most: int = 10**6) -> None:
        self._most = most
        self.asked: list[CameraLimits] = []
        self.closed = False

    @property
    def shown(self) -> int:
        return len(self.asked)

    def take(self, limits: CameraLimits) -> Capture | None:
        if self.shown == self._most:
            raise SourceError("the film has ended")
        self.asked.append(limits)
        return Capture(picture(self.shown % 50), time.monotonic())

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def pushing(url: str, source: FakeSource, **options: Any) -> AsyncIterator[list[FrameResult]]:
    """An agent at work under the name `lens`; what it has seen."""
    seen: list[FrameResult] = []

    async def find() -> str:
        return url

    agent = Agent(source, find=options.pop("find", find), name="lens", on_result=seen.append, **options)
    task = asyncio.create_task(agent.run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert source.closed


async def until(seen: list[FrameResult], count: int, within_s: float = 20) -> None:
    with anyio.fail_after(within_s):
        while len(seen) < count:
            await asyncio.sleep(0.005)
