"""Run a camera agent in the test process, on a source that records the limits of each capture."""

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
    """A source with a limited number of distinct pictures."""

    def __init__(self, most: int = 10**6) -> None:
        self._most = most
        self.limits: list[CameraLimits] = []
        self.closed = False

    @property
    def shown(self) -> int:
        return len(self.limits)

    def take(self, limits: CameraLimits) -> Capture | None:
        if self.shown == self._most:
            raise SourceError("the source has ended")
        self.limits.append(limits)
        return Capture(picture(self.shown % 50), time.monotonic())

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def pushing(url: str, source: FakeSource, **options: Any) -> AsyncIterator[list[FrameResult]]:
    """Run an agent with the name `lens`; yield the list of its results."""
    results: list[FrameResult] = []

    async def find() -> str:
        return url

    agent = Agent(source, find=options.pop("find", find), name="lens", on_result=results.append, **options)
    task = asyncio.create_task(agent.run())
    try:
        yield results
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert source.closed


async def until(results: list[FrameResult], count: int, within_s: float = 20) -> None:
    """Wait until the list has this many results."""
    with anyio.fail_after(within_s):
        while len(results) < count:
            await asyncio.sleep(0.005)
