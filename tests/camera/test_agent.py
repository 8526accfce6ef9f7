"""The agent against a real service: it keeps to what it is told, comes back by itself, and ends with its source."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.agent import Agent, FrameResult, after_refusal_s, pause_s
from appliance.camera.link import LinkLost
from appliance.errors import ConfigError, SourceError
from appliance.values import CameraLimits, CameraStats, Limits
from tests.camera.agents import FakeSource, pushing, until
from tests.conftest import Running, Serve
from tests.fakes import FakeEngine, broken_engine


class Manager:
    """A service manager that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, *assignments: str) -> None:
        self.told.append(" ".join(assignments))


def lens(running: Running) -> CameraStats:
    return running.started.parts.path.pace.stats()["lens"]


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
        assert (source.asked[0].max_side, source.asked[0].jpeg_quality) == (640, 80)
        assert seen[0].names == ("stop sign",)
        assert [one.payload["frame_id"] for one in seen] == list(range(1, len(seen) + 1))


async def test_the_very_next_picture_is_made_by_the_new_limits(serve: Serve) -> None:
    source = FakeSource()
    async with serve(cache__enabled="false") as running, pushing(running.url, source) as seen:
        await until(seen, 2)
        running.started.parts.path.detector.apply(Limits(320, 0.15, 1, reason="temperature"))
        with anyio.fail_after(10):
            while source.asked[-1].max_side != 320:
                await asyncio.sleep(0.005)
        asked = [limits.max_side for limits in source.asked]
        assert asked == sorted(asked, reverse=True)
        before = dict(lens(running).skipped)
        await until(seen, len(seen) + 4)
        assert lens(running).skipped == before


async def test_limits_that_grow_stricter_while_it_waits_hold_for_the_picture_it_waits_for(serve: Serve) -> None:
    source = FakeSource()
    async with (
        serve(flow__min_interval_s="0.5", cache__enabled="false") as running,
        pushing(running.url, source) as seen,
    ):
        await until(seen, 1)
        running.started.parts.path.detector.apply(Limits(256, 0.6, 1, reason="memory"))
        await until(seen, 2)
        assert source.asked[1].max_side == 256


async def test_a_box_that_has_cooled_down_is_not_kept_waiting(serve: Serve) -> None:
    """The camera was told half a minute; it does not sleep through the news that it may come sooner."""
    async with (
        serve(flow__min_interval_s="30", cache__enabled="false") as running,
        pushing(running.url, FakeSource()) as seen,
    ):
        await until(seen, 1)
        running.started.parts.path.detector.apply(Limits(640, 0.05, 1))
        await until(seen, 3, within_s=10)


async def test_a_slow_box_has_one_frame_of_the_camera_and_no_heap_of_them(serve: Serve) -> None:
    engine, source = FakeEngine(), FakeSource()
    async with serve(engine, cache__enabled="false") as running, pushing(running.url, source) as seen:
        await until(seen, 2)
        engine.hold()
        with anyio.fail_after(10):
            while source.shown <= len(seen):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.3)
        assert source.shown == len(seen) + 1
        engine.release()
        await until(seen, len(seen) + 3)


async def test_an_answer_tells_how_long_it_took_from_the_shutter_whatever_the_wall_clock_does(serve: Serve) -> None:
    """The board has no clock of its own: it is set back a day in the middle."""
    wall = itertools.chain([1_800_000_000.0] * 3, itertools.repeat(1_800_000_000.0 - 86400))
    async with (
        serve(cache__enabled="false") as running,
        pushing(running.url, FakeSource(), wall=lambda: next(wall)) as seen,
    ):
        await until(seen, 8)
        assert all(0 < one.latency_ms < 5000 for one in seen)
        told = [one.payload["captured_at"] for one in seen]
        assert told[0] == pytest.approx(1_800_000_000.0, abs=5)
        assert told[-1] == pytest.approx(1_800_000_000.0 - 86400, abs=5)


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


async def test_an_agent_follows_the_box_to_another_address(serve: Serve) -> None:
    source = FakeSource()
    addresses: list[str] = []

    async def find() -> str:
        if not addresses:
            raise LinkLost("nobody answers")
        return addresses[-1]

    async with pushing("", source, find=find) as seen:
        async with serve() as first:
            addresses.append(first.url)
            await until(seen, 2)
        async with serve() as second:
            addresses.append(second.url)
            await until(seen, len(seen) + 2)
            assert lens(second).answered >= 1


async def test_an_agent_ends_when_its_source_does(serve: Serve) -> None:
    source = FakeSource(most=3)
    seen: list[FrameResult] = []
    async with serve(flow__burst="10") as running:

        async def find() -> str:
            return running.url

        agent = Agent(source, find=find, name="lens", on_result=seen.append)
        with pytest.raises(SourceError, match="ended"):
            await asyncio.wait_for(agent.run(), 10)
        assert source.closed
        assert len(seen) == 3


async def test_an_agent_with_the_wrong_token_says_why_keeps_asking_and_pushes_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource()
    async with serve(server__require_token="true") as running, pushing(running.url, source, token=lambda: "wrong"):
        with anyio.fail_after(10):
            while not [record for record in caplog.records if record.name == "appliance.camera.agent"]:
                await asyncio.sleep(0.005)
        assert source.shown == 0
        assert "unauthorized: wrong token for camera 'lens'" in caplog.text


async def test_an_agent_whose_token_is_rejected_asks_again_in_minutes_or_with_a_new_token(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tmp_path / "device.toml"
    settings.write_text('[cameras.lens]\ntoken = "right"\n')
    tokens = ["wrong"]
    async with (
        serve(toml=settings) as running,
        pushing(running.url, FakeSource(), token=lambda: tokens[-1]) as seen,
    ):
        await asyncio.sleep(3)  # at full speed it would ask several times
        lines = [record for record in caplog.records if record.name == "appliance.camera.agent"]
        assert [record.levelname for record in lines] == ["ERROR"]
        assert "correct its name, token or address" in lines[0].getMessage()
        assert not seen
        tokens.append("right")
        await until(seen, 1)


async def test_an_agent_whose_token_file_is_away_for_a_moment_goes_on(serve: Serve) -> None:
    away = iter([True])

    def token() -> str:
        if next(away, False):
            raise ConfigError("token: No such file or directory")
        return ""

    async with serve() as running, pushing(running.url, FakeSource(), token=token) as seen:
        await until(seen, 1)


async def test_a_source_that_hangs_does_not_keep_the_agent_from_ending(serve: Serve) -> None:
    """A read in a driver that never returns: SIGTERM ends the agent all the same."""
    hung, let_go = threading.Event(), threading.Event()

    class Hanging(FakeSource):
        def take(self, limits: CameraLimits) -> None:
            hung.set()
            let_go.wait()

    async with serve() as running:
        async with pushing(running.url, Hanging()):
            with anyio.fail_after(20):
                while not hung.is_set():
                    await asyncio.sleep(0.01)
        assert [one for one in threading.enumerate() if one.name == "source" and one.daemon]
    let_go.set()


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


async def test_the_service_manager_hears_of_the_first_answer(serve: Serve) -> None:
    manager = Manager()
    async with serve() as running, pushing(running.url, FakeSource(), notifier=manager) as seen:
        assert manager.told == []
        await until(seen, 3)
    (ready,) = manager.told
    assert ready.startswith("READY=1 STATUS=answered after")


async def test_the_watchdog_is_not_pinged_while_the_source_hangs(serve: Serve) -> None:
    """A driver that never gives back a picture: only a new process helps, and the service manager has one."""
    manager, now_s = Manager(), time.monotonic()
    hung = asyncio.Event()

    class Hanging(FakeSource):
        def take(self, limits: CameraLimits) -> None:
            loop.call_soon_threadsafe(hung.set)
            while not self.closed:
                time.sleep(0.01)

    loop = asyncio.get_running_loop()

    async with serve() as running:

        async def find() -> str:
            return running.url

        agent = Agent(
            Hanging(), find=find, name="lens", on_result=lambda _: None, notifier=manager, clock=lambda: now_s
        )  # fmt: skip
        async with anyio.create_task_group() as group:
            group.start_soon(agent.run)
            await hung.wait()
            for later_s, pings in ((19.0, 1), (21.0, 1), (0.0, 2)):
                now_s = time.monotonic() + later_s if later_s else now_s - 21.0
                with anyio.move_on_after(0.05):
                    await agent.beat()
                assert manager.told.count("WATCHDOG=1") == pings
            group.cancel_scope.cancel()


@given(failures=st.integers(0, 10**6), chance=st.floats(0, 1))
def test_the_pause_before_a_new_connection_is_short_at_first_and_never_long(failures: int, chance: float) -> None:
    pause = pause_s(failures, chance)
    assert 0.1 < pause <= 4.0
    assert pause <= pause_s(failures + 1, 1.0)
    assert pause_s(0, chance) <= 0.5


@given(refusals=st.integers(0, 10**6), chance=st.floats(0, 1))
def test_a_rejected_agent_asks_once_in_one_to_five_minutes(refusals: int, chance: float) -> None:
    assert 45 <= after_refusal_s(refusals, chance) <= 300
    assert after_refusal_s(10, 1.0) == 300


@given(failures=st.integers(0, 20))
def test_cameras_of_a_restarted_box_spread_out(failures: int) -> None:
    assert pause_s(failures, 1.0) >= 3 * pause_s(failures, 0.0)
