"""Clients that cause too much work wait, and lose nothing. Addresses of 127/8 other than 127.0.0.1 count as remote."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import cast

import anyio
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.test_utils import make_mocked_request

from appliance.web.ingress.guard import guard
from appliance.web.ingress.handler import GuardedHandler
from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.ingress.limits import REQUEST_WORK
from appliance.web.ingress.steps import timed
from tests.conftest import Serve
from tests.fakes import FakeClock
from tests.web.ingress.peers import LIMITS, frame, ready
from tests.web.ingress.strangers import is_well, stranger, websocket

REMOTE = "127.0.66.1"
PATIENCE_S = 30


async def test_sixty_cameras_behind_one_router_reconnect_at_once(serve: Serve) -> None:
    connections = 0
    async with ready(serve) as running:

        async def camera(number: int) -> None:
            nonlocal connections
            async with websocket(running, f"camera{number}", address=REMOTE):
                connections += 1

        with anyio.fail_after(PATIENCE_S):
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    for number in range(60):
                        group.start_soon(camera, number)
    assert connections == 120


async def test_a_burst_of_events_is_answered_in_order_and_completely(serve: Serve) -> None:
    """More than may be queued unread: reading stops and continues."""
    async with ready(serve) as running, websocket(running, "talks", address=REMOTE) as client:
        count = 180
        events = (frame(1, f'42{number}["subscribe",{{"cameras":["a"]}}]'.encode()) for number in range(count))
        await client.send(b"".join(events))
        with anyio.fail_after(PATIENCE_S):
            for number in range(count):
                answer = f"43{number}[".encode()
                assert (await client.reader.readuntil(answer)).endswith(answer)


async def test_pipelined_requests_of_a_busy_address_are_all_answered(serve: Serve) -> None:
    async with ready(serve) as running, stranger(running, REMOTE) as client:
        request = f"GET /health/live HTTP/1.1\r\nHost: {running.url.removeprefix('http://')}\r\n\r\n"
        await client.send(request * 500)
        with anyio.fail_after(PATIENCE_S):
            for _ in range(500):
                assert (await client.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
                await client.reader.readuntil(b"\r\n\r\n")
                await client.reader.readuntil(b"}\n")
        await is_well(running)


async def test_a_request_lets_what_is_ready_go_first() -> None:
    """Of hundreds that arrived together, each: from Python 3.12 on, aiohttp starts a handler in the step it is in."""
    loop, order = asyncio.get_running_loop(), list[str]()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        order.append("answer")
        return web.Response()

    connection = GuardedHandler(web.Server(answer), ConnectionLimiter(LIMITS, time.monotonic), "127.0.0.1", loop)
    loop.call_soon(order.append, "others")
    await guard(make_mocked_request("GET", "/health", protocol=connection), answer)
    assert order == ["others", "answer"]


async def test_a_response_that_is_read_slowly_is_not_cut_off_and_one_that_is_not_read_is() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bytes(20_000_000))

    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        return await guard(cast(web.Request, request), answer)

    limiter, connections = ConnectionLimiter(LIMITS, FakeClock(0.0)), list[GuardedHandler]()

    def connect() -> GuardedHandler:
        connections.append(GuardedHandler(web.Server(guarded), limiter, "127.0.0.1", asyncio.get_running_loop()))
        return connections[0]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=4096)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = connections
    assert connection.transport is not None
    unsent = connection.transport.get_write_buffer_size
    for now_s in (100.0, 200.0, 300.0):
        assert connection.overdue(now_s) is None
        left = unsent()
        with anyio.fail_after(PATIENCE_S):
            while unsent() == left:
                await reader.read(65_536)
    assert connection.overdue(400.0) is None
    left = unsent()
    with anyio.fail_after(PATIENCE_S):  # what the kernel still takes
        while unsent() != left:
            left = unsent()
            await asyncio.sleep(0.1)
    connection.overdue(500.0)
    assert connection.overdue(600.0) == ("idle", "idle for 75 s (server.idle_timeout_s)")
    writer.close()
    server.close()


async def test_what_takes_the_event_loop_longer_counts_more() -> None:
    """Seconds that the next request of the address waits, after fifty that take 0 and 10 ms of processor time."""

    async def waits_after(busy_s: float) -> float:
        limiter = ConnectionLimiter(LIMITS, clock=lambda: 0.0)
        connection = GuardedHandler(web.Server(empty), limiter, REMOTE, asyncio.get_running_loop())

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            until_s = time.thread_time() + busy_s
            while time.thread_time() < until_s:
                pass
            return web.Response()

        for _ in range(50):
            connection.begin(make_mocked_request("GET", "/health"))
            connection.work(REQUEST_WORK)
            await timed(answer(make_mocked_request("GET", "/health")), connection.took)
            connection.end()
        return connection.work(REQUEST_WORK)

    async def empty(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    assert await waits_after(0) == 0
    assert await waits_after(0.01) > 2


async def test_a_connection_leaves_nothing_to_the_garbage_collector(serve: Serve) -> None:
    """A collection stops all threads, and the requests that a flood leaves unread are tens of thousands of objects."""

    def held() -> int:
        return sum(isinstance(one, GuardedHandler | RawRequestMessage) for one in gc.get_objects())

    async with ready(serve) as running:
        request = f"GET /health HTTP/1.1\r\nHost: {running.url.removeprefix('http://')}\r\n\r\n"
        gc.collect()
        before = held()
        gc.disable()
        try:
            for _ in range(5):
                async with stranger(running, REMOTE) as client:
                    await client.send(request * 200)
                    await client.reader.readuntil(b"\r\n")
            with anyio.fail_after(PATIENCE_S):
                while held() > before:
                    await asyncio.sleep(0.05)
        finally:
            gc.enable()


async def test_a_flood_that_is_never_read_is_held_back_by_tcp(serve: Serve) -> None:
    """The sender cannot send on, its connection stays, and cameras are answered."""
    async with ready(serve) as running, websocket(running, "floods", address=REMOTE) as client:
        flood = frame(1, b'42["nothing",1]') * 5000
        with anyio.move_on_after(5) as patience:
            for _ in range(500):
                await client.send(flood)
        assert patience.cancelled_caught, "50 MB of small events were read within seconds"
        assert not client.reader.at_eof()
        await is_well(running)


async def test_a_refused_upload_is_discarded_at_a_bounded_rate(serve: Serve) -> None:
    """Its sender can read the refusal after 10 MB; a flood of refused bytes is held back by TCP, then closed."""
    headers = (
        "POST /v1/vision/detection HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n"
    )
    async with ready(serve) as running:
        async with stranger(running, REMOTE) as client:
            await client.send(headers.format(9_900_000))
            await client.send(bytes(9_900_000))
            assert (await client.closed()).startswith(b"HTTP/1.1 415")
        sent = 0
        async with stranger(running, "127.0.66.2") as client:
            await client.send(headers.format(10**9))
            with contextlib.suppress(ConnectionError):
                for _ in range(1000):
                    with anyio.fail_after(PATIENCE_S):
                        await client.send(bytes(1_000_000))
                    sent += 1
        assert sent < 200, f"{sent} MB of a refused body were read"
        await is_well(running)
