"""The agent against a real service: it keeps to what it is told, comes back by itself, and ends with its source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from appliance.camera.agent import Agent
from appliance.errors import SourceError
from appliance.values import CameraStats, Limits
from tests.conftest import Running, Serve
from tests.fakes import FakeEngine, broken_engine
from tests.web.test_contract import picture


class FakeSource:
    """So many pictures, each another one; remembers what it was asked for."""

    def __init__(self, most: int = 10**6) -> None:
        self._most = most
        self.shown = 0
        self.asked: list[tuple[int, int]] = []
        self.closed = False

    def pictures(self) -> Iterator[bytes]:
        for number in range(self._most):
            self.shown += 1
            yield picture(number % 50)

    def resize(self, max_side: int, jpeg_quality: int) -> None:
        self.asked.append((max_side, jpeg_quality))

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def pushing(url: str, source: FakeSource, *, token: str = "") -> AsyncIterator[list[dict[str, Any]]]:
    """An agent at work under the name `lens`; what it has seen."""
    seen: list[dict[str, Any]] = []
    agent = Agent(source, url=url, name="lens", token=token, seen=seen.append)
    task = asyncio.create_task(agent.run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert source.closed


async def until(seen: list[dict[str, Any]], count: int) -> None:
    with anyio.fail_after(20):
        while len(seen) < count:
            await asyncio.sleep(0.005)


def lens(running: Running) -> CameraStats:
    return running.started.health.pace.stats()["lens"]


@pytest.mark.parametrize("profile", ["realtime", "production"])
async def test_an_agent_that_obeys_is_never_skipped(serve: Serve, profile: str) -> None:
    source = FakeSource()
    async with (
        serve(profile=profile, flow__min_interval_s="0.2", cache__enabled="false") as running,
        pushing(running.url, source) as seen,
    ):
        await until(seen, 6)
        stats = lens(running)
        assert stats.skipped == {}
        assert stats.failed == 0
        assert stats.received <= 7
        assert source.shown - stats.received <= 1  # what may not be sent is not captured
        assert source.asked[0] == (640, 80)
        assert seen[0]["detections"][0]["name"] == "stop sign"
        assert [answer["frame_id"] for answer in seen] == list(range(1, len(seen) + 1))


async def test_new_limits_reach_the_source_and_the_pace(serve: Serve) -> None:
    source = FakeSource()
    async with serve(cache__enabled="false") as running, pushing(running.url, source) as seen:
        await until(seen, 2)
        running.started.health.detector.apply(Limits(320, 0.15, 1, reason="temperature"))
        with anyio.fail_after(10):
            while source.asked[-1] != (320, 80):
                await asyncio.sleep(0.005)
        await until(seen, len(seen) + 2)  # what was on its way
        before = dict(lens(running).skipped)
        await until(seen, len(seen) + 4)
        assert lens(running).skipped == before


async def test_an_agent_comes_back_when_the_service_does(serve: Serve) -> None:
    source = FakeSource()
    async with serve() as first:
        port = first.url.rsplit(":", 1)[1]
        agent = pushing(first.url, source)
        seen = await agent.__aenter__()
        await until(seen, 2)
    try:
        count = len(seen)
        async with serve(server__port=port) as second:
            await until(seen, count + 3)
            assert lens(second).answered >= 2
    finally:
        await agent.__aexit__(None, None, None)


async def test_an_agent_waits_for_a_service_that_is_not_there_yet(serve: Serve) -> None:
    source = FakeSource()
    async with serve() as known:
        port = known.url.rsplit(":", 1)[1]
    async with pushing(known.url, source) as seen:
        await asyncio.sleep(0.05)
        async with serve(server__port=port):
            await until(seen, 2)


async def test_an_agent_ends_when_its_source_does(serve: Serve) -> None:
    source = FakeSource(most=3)
    seen: list[dict[str, Any]] = []
    async with serve(flow__burst="10") as running:
        agent = Agent(source, url=running.url, name="lens", token="", seen=seen.append)
        with pytest.raises(SourceError, match="ended"):
            await asyncio.wait_for(agent.run(), 10)
        assert source.closed
        assert len(seen) == 3


async def test_an_agent_with_the_wrong_token_keeps_asking_and_pushes_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource()
    async with serve(server__require_token="true") as running, pushing(running.url, source, token="wrong"):
        with anyio.fail_after(10):
            while not [record for record in caplog.records if record.name == "appliance.camera.agent"]:
                await asyncio.sleep(0.005)
        assert source.shown == 0


async def test_an_agent_survives_an_engine_that_fails(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    async with serve(engine) as running, pushing(running.url, FakeSource()) as seen:
        await until(seen, 1)
        engine.error = broken_engine()
        with anyio.fail_after(10):
            while "engine_failed" not in caplog.text:
                await asyncio.sleep(0.005)
        engine.error = None
        await until(seen, len(seen) + 2)
