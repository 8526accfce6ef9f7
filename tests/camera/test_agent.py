"""The camera agent with a real service: limits, reconnecting, and the end of its source."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.agent import Agent, FrameResult, after_rejection_s, pause_s
from appliance.camera.failures import LinkLost
from appliance.errors import ConfigError, SourceError
from appliance.values import CameraLimits, CameraStats, Limits
from tests.camera.agents import FakeSource, pushing, until
from tests.conftest import Running, Serve
from tests.fakes import FakeEngine, broken_engine


class Manager:
    """A service manager that records its notifications."""

    def __init__(self) -> None:
        self.notifications: list[str] = []

    def notify(self, *assignments: str) -> None:
        self.notifications.append(" ".join(assignments))


def lens(running: Running) -> CameraStats:
    return running.started.parts.path.pace.stats()["lens"]


@pytest.mark.parametrize("profile", ["realtime", "production"])
async def test_the_device_never_skips_a_frame_of_an_agent(serve: Serve, profile: str) -> None:
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
        assert source.shown - stats.received <= 1  # the agent captures only what it can send
        assert (source.limits[0].max_side, source.limits[0].jpeg_quality) == (640, 80)
        assert seen[0].names == ("stop sign",)
        assert [one.payload["frame_id"] for one in seen] == list(range(1, len(seen) + 1))


async def test_new_limits_apply_to_the_next_picture(serve: Serve) -> None:
    source = FakeSource()
    async with serve(cache__enabled="false") as running, pushing(running.url, source) as seen:
        await until(seen, 2)
        running.started.parts.path.detector.apply(Limits(320, 0.15, 1, reason="temperature"))
        with anyio.fail_after(10):
            while source.limits[-1].max_side != 320:
                await asyncio.sleep(0.005)
        sides = [limits.max_side for limits in source.limits]
        assert sides == sorted(sides, reverse=True)
        before = dict(lens(running).skipped)
        await until(seen, len(seen) + 4)
        assert lens(running).skipped == before


async def test_stricter_limits_apply_to_the_picture_that_the_agent_waits_for(serve: Serve) -> None:
    source = FakeSource()
    async with (
        serve(flow__min_interval_s="0.5", cache__enabled="false") as running,
        pushing(running.url, source) as seen,
    ):
        await until(seen, 1)
        running.started.parts.path.detector.apply(Limits(256, 0.6, 1, reason="memory"))
        await until(seen, 2)
        assert source.limits[1].max_side == 256


async def test_a_shorter_interval_ends_the_current_wait(serve: Serve) -> None:
    """The agent waits for 30 s when the device sends an interval of 50 ms."""
    async with (
        serve(flow__min_interval_s="30", cache__enabled="false") as running,
        pushing(running.url, FakeSource()) as seen,
    ):
        await until(seen, 1)
        running.started.parts.path.detector.apply(Limits(640, 0.05, 1))
        await until(seen, 3, within_s=10)
        assert len(seen) >= 3


async def test_a_slow_device_has_one_frame_of_the_camera_at_a_time(serve: Serve) -> None:
    engine, source = FakeEngine(), FakeSource()
    async with serve(engine, cache__enabled="false") as running, pushing(running.url, source) as seen:
        await until(seen, 2)
        engine.hold()
        with anyio.fail_after(10):
            while source.shown <= len(seen):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.3)  # longer than the interval between two frames
        assert source.shown == len(seen) + 1
        engine.release()
        await until(seen, len(seen) + 3)


async def test_latency_does_not_depend_on_the_wall_clock(serve: Serve) -> None:
    """The wall clock is set back by a day during the test."""
    wall = itertools.chain([1_800_000_000.0] * 3, itertools.repeat(1_800_000_000.0 - 86400))
    async with (
        serve(cache__enabled="false") as running,
        pushing(running.url, FakeSource(), wall=lambda: next(wall)) as seen,
    ):
        await until(seen, 8)
        assert all(0 < one.latency_ms < 5000 for one in seen)
        captured_at = [one.payload["captured_at"] for one in seen]
        assert captured_at[0] == pytest.approx(1_800_000_000.0, abs=5)
        assert captured_at[-1] == pytest.approx(1_800_000_000.0 - 86400, abs=5)


async def test_an_agent_reconnects_after_a_restart_of_the_service(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource()
    caplog.set_level(logging.WARNING, "engineio.client")  # as the command line sets it
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
        assert "packet data" not in caplog.text, "the library's own words for a connection that ended"
    finally:
        await agent.__aexit__(None, None, None)


async def test_an_agent_waits_for_a_service_that_starts_later(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource()
    async with serve() as known:
        port = known.url.rsplit(":", 1)[1]
    async with pushing(known.url, source) as seen:
        with anyio.fail_after(20):
            while "no connection to the device" not in caplog.text:
                await asyncio.sleep(0.005)
        async with serve(server__port=port):
            await until(seen, 2)
            assert len(seen) >= 2


async def test_an_agent_follows_the_device_to_another_address(serve: Serve) -> None:
    source = FakeSource()
    addresses: list[str] = []

    async def find() -> str:
        if not addresses:
            raise LinkLost("no device found")
        return addresses[-1]

    async with pushing("", source, find=find) as seen:
        async with serve() as first:
            addresses.append(first.url)
            await until(seen, 2)
        async with serve() as second:
            addresses.append(second.url)
            await until(seen, len(seen) + 2)
            assert lens(second).answered >= 1


async def test_an_agent_ends_with_its_source(serve: Serve) -> None:
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


async def test_an_agent_with_a_wrong_token_logs_the_reason_and_captures_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource()
    async with serve(server__require_token="true") as running, pushing(running.url, source, token=lambda: "wrong"):
        with anyio.fail_after(10):
            while not [record for record in caplog.records if record.name == "appliance.camera.agent"]:
                await asyncio.sleep(0.005)
        assert source.shown == 0
        assert "unauthorized: wrong token for camera 'lens'" in caplog.text


async def test_a_rejected_agent_connects_at_once_with_a_new_token(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tmp_path / "device.toml"
    settings.write_text('[cameras.lens]\ntoken = "right"\n')
    tokens = ["wrong"]
    async with (
        serve(toml=settings) as running,
        pushing(running.url, FakeSource(), token=lambda: tokens[-1]) as seen,
    ):
        with anyio.fail_after(10):
            while "Correct its name, token or address" not in caplog.text:
                await asyncio.sleep(0.005)
        await asyncio.sleep(3)  # without the rejection it would retry within 2.5 s
        assert not seen
        tokens.append("right")
        await until(seen, 1)
        lines = [record for record in caplog.records if record.name == "appliance.camera.agent"]
        assert [record.levelname for record in lines if record.levelno >= logging.WARNING] == ["ERROR"]


async def test_an_agent_ends_when_the_device_never_accepts_its_name(serve: Serve) -> None:
    async with serve() as running:

        async def find() -> str:
            return running.url

        agent = Agent(FakeSource(), find=find, name="\u202elens", on_result=lambda _: None)
        with anyio.fail_after(20), pytest.raises(ConfigError, match="rejects the name"):
            await agent.run()


async def test_an_agent_retries_while_its_token_file_is_missing(serve: Serve) -> None:
    missing = iter([True])

    def token() -> str:
        if next(missing, False):
            raise ConfigError("token: No such file or directory")
        return ""

    async with serve() as running, pushing(running.url, FakeSource(), token=token) as seen:
        await until(seen, 1)
        assert next(missing, None) is None


async def test_an_agent_can_end_while_its_source_hangs(serve: Serve) -> None:
    """A read in a driver never returns, but SIGTERM must end the agent."""
    hung, released = threading.Event(), threading.Event()

    class Hanging(FakeSource):
        def take(self, limits: CameraLimits) -> None:
            hung.set()
            released.wait()

    async with serve() as running:
        async with pushing(running.url, Hanging()):
            with anyio.fail_after(20):
                while not hung.is_set():
                    await asyncio.sleep(0.01)
        assert [one for one in threading.enumerate() if one.name == "source" and one.daemon]
    released.set()


async def test_an_agent_survives_an_engine_failure(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    async with serve(engine) as running, pushing(running.url, FakeSource()) as seen:
        await until(seen, 1)
        engine.error = broken_engine()
        with anyio.fail_after(10):
            while "engine_failed" not in caplog.text:
                await asyncio.sleep(0.005)
        engine.error = None
        failed_at = len(seen)
        await until(seen, failed_at + 2)
        assert len(seen) >= failed_at + 2


async def test_the_agent_reports_ready_after_the_first_result(serve: Serve) -> None:
    manager = Manager()
    async with serve() as running, pushing(running.url, FakeSource(), notifier=manager) as seen:
        assert manager.notifications == []
        await until(seen, 3)
    (ready,) = manager.notifications
    assert ready.startswith("READY=1 STATUS=first result after")


async def test_the_watchdog_is_not_pinged_while_the_source_hangs(serve: Serve) -> None:
    """Only a new process recovers from a hung driver; the service manager starts it."""
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
            with anyio.fail_after(20):
                await hung.wait()
            for later_s, pings in ((19.0, 1), (21.0, 1), (0.0, 2)):
                now_s = time.monotonic() + later_s if later_s else now_s - 21.0
                with anyio.move_on_after(0.05):
                    await agent.beat()
                assert manager.notifications.count("WATCHDOG=1") == pings
            group.cancel_scope.cancel()


@given(failures=st.integers(0, 10**6), chance=st.floats(0, 1))
def test_the_pause_before_reconnecting_starts_short_and_stays_short(failures: int, chance: float) -> None:
    pause = pause_s(failures, chance)
    assert 0.1 < pause <= 4.0
    assert pause <= pause_s(failures + 1, 1.0)
    assert pause_s(0, chance) <= 0.5


@given(rejections=st.integers(0, 10**6), chance=st.floats(0, 1))
def test_a_rejected_agent_tries_again_after_one_to_five_minutes(rejections: int, chance: float) -> None:
    assert 45 <= after_rejection_s(rejections, chance) <= 300
    assert after_rejection_s(10, 1.0) == 300


@given(failures=st.integers(0, 20))
def test_cameras_of_a_restarted_device_reconnect_at_different_times(failures: int) -> None:
    assert pause_s(failures, 1.0) >= 3 * pause_s(failures, 0.0)


async def test_an_agent_ends_when_the_device_does_not_detect_what_it_waits_for(serve: Serve) -> None:
    async with serve() as running:

        async def find() -> str:
            return running.url

        agent = Agent(FakeSource(), find=find, name="lens", on_result=lambda _: None, classes=("personn",))
        with anyio.fail_after(20), pytest.raises(ConfigError, match=r"--on personn: .* did you mean 'person'\?"):
            await agent.run()
