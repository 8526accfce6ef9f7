"""Cable and device failures: the agent recovers and queues nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from appliance.camera import link
from appliance.camera.failures import LinkLost
from tests.camera.agents import FakeSource, pushing, until
from tests.camera.cable import cable_to
from tests.camera.proxy import proxy
from tests.conftest import ROOT, Serve


@asynccontextmanager
async def device_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a device in its own process; yield the process and the URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fake_service", "serve", f"server.port={port}", "server.host=127.0.0.1",
        "cache.enabled=false", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("pulled_s", [1.0, link.ACKNOWLEDGED_WITHIN_S + 2.0])
async def test_the_camera_resumes_after_a_pulled_cable(serve: Serve, pulled_s: float) -> None:
    """After 1 s the frame in flight arrives late; after longer the agent reconnects."""
    source = FakeSource()
    async with (
        serve(cache__enabled="false") as running,
        cable_to(running.url) as cable,
        pushing(cable.url, source) as seen,
    ):
        await until(seen, 3)
        cable.pull()
        await asyncio.sleep(pulled_s)
        waiting = source.shown - len(seen)
        assert waiting <= 1  # nothing was captured without a connection
        assert cable.connections == 1 or pulled_s > link.ACKNOWLEDGED_WITHIN_S
        before = len(seen)
        cable.plug_in()
        await until(seen, before + 3, within_s=link.CONNECT_WITHIN_S + 6)
        # no old frames were queued: the results are of new pictures
        assert seen[-1].latency_ms < 1000
        stats = running.started.parts.path.pace.stats()["lens"]
        assert stats.received - stats.answered - sum(stats.skipped.values()) <= 1


async def test_a_dead_connection_is_dropped_within_seconds(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serve(cache__enabled="false", flow__min_interval_s="1") as running,
        cable_to(running.url) as cable,
        pushing(cable.url, FakeSource()) as seen,
    ):
        await until(seen, 1)
        cable.pull()  # between two frames: the next one is not acknowledged
        with anyio.fail_after(link.ACKNOWLEDGED_WITHIN_S + 5):
            while cable.connections < 2:
                await asyncio.sleep(0.01)
        assert "no message from the device for 3 s" in caplog.text


async def test_the_agent_reconnects_after_each_of_several_restarts(serve: Serve) -> None:
    source, port = FakeSource(), "0"
    async with serve() as first:
        port = first.url.rsplit(":", 1)[1]
    async with pushing(first.url, source) as seen:
        for _ in range(3):
            before = len(seen)
            async with serve(server__port=port):
                await until(seen, before + 2)
            assert len(seen) >= before + 2


async def test_the_agent_survives_a_stopped_device_process(caplog: pytest.LogCaptureFixture) -> None:
    """The kernel still accepts connections and bytes, but the process does not read them."""
    source = FakeSource()
    async with device_process() as (process, url), pushing(url, source) as seen:
        await until(seen, 3)
        process.send_signal(signal.SIGSTOP)
        with anyio.fail_after(20):
            while "no message from the device" not in caplog.text:
                await asyncio.sleep(0.01)
        assert source.shown - len(seen) <= 1
        last_number = seen[-1].payload["frame_id"]
        process.send_signal(signal.SIGCONT)
        await until(seen, len(seen) + 3)
        numbers = [one.payload["frame_id"] for one in seen]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] - last_number <= 3 + 1  # nothing was queued or sent twice


async def test_the_agent_retries_another_server_slowly(caplog: pytest.LogCaptureFixture) -> None:
    """The address belongs to a web server, which must not be flooded."""
    requests = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with pushing(url, FakeSource()):
        with anyio.fail_after(20):
            while requests < 3:
                await asyncio.sleep(0.01)
    server.close()
    assert requests == 3
    assert "no connection to the device" in caplog.text


async def test_a_device_that_is_off_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    async def find() -> str:
        nonlocal attempts
        attempts += 1
        raise LinkLost("no device found")

    async with pushing("", FakeSource(), find=find):
        with anyio.fail_after(20):
            while attempts < 5:
                await asyncio.sleep(0.01)
    assert caplog.text.count("no connection to the device (no device found)") == 1


async def test_the_agent_uses_the_path_prefix_of_a_proxy(serve: Serve) -> None:
    async with serve(cache__enabled="false") as running, proxy(running.url) as way:
        async with pushing(way.url.replace("//", "//site:opensesame@") + "/", FakeSource()) as seen:
            await until(seen, 2)
        assert set(way.seen) == {"websocket"}
        assert way.auth.startswith("Basic ")


@pytest.mark.parametrize("websockets", ["refuse", "hang", "cut", "busy"])
async def test_the_agent_polls_when_websockets_are_blocked(
    serve: Serve, websockets: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(cache__enabled="false") as running,
        proxy(running.url, websockets) as way,
        pushing(way.url.replace("//", "//site:opensesame@"), FakeSource()) as seen,
    ):
        await until(seen, 3, within_s=60)
        assert seen[-1].payload["camera"] == "lens"
    assert list(dict.fromkeys(way.seen)) == ["websocket", "polling"]
    assert "trying HTTP polling next" in caplog.text
    assert "opensesame" not in caplog.text


async def test_a_restarting_device_does_not_cause_polling(serve: Serve) -> None:
    async with serve(cache__enabled="false") as running, proxy(running.url, "busy") as way:
        async with pushing(way.url, FakeSource()) as seen:
            with anyio.fail_after(20):
                while not way.seen:
                    await asyncio.sleep(0.01)
            way.websockets = "pass"
            await until(seen, 2)
        assert set(way.seen) == {"websocket"}


async def test_a_websocket_is_tried_again_after_minutes_of_polling(serve: Serve) -> None:
    """A starting device also blocks WebSockets; its cameras must not poll forever."""
    late_s = 0.0
    async with (
        serve(cache__enabled="false") as running,
        proxy(running.url, "refuse") as way,
        pushing(way.url, FakeSource(), clock=lambda: time.monotonic() + late_s) as seen,
    ):
        await until(seen, 2, within_s=40)
        way.websockets = "pass"
        late_s = 601.0
        await until(seen, len(seen) + 3, within_s=40)
        assert way.seen[-1] == "websocket"
