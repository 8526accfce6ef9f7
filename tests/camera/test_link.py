"""One connection: the reasons of a failure, and how soon it gives up."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from appliance.camera.agent import pause_s
from appliance.camera.failures import LinkLost, Rejected, bounded_s, read_refusal
from appliance.camera.link import REACH_WITHIN_S, connected, endpoint, read_limits
from appliance.values import CameraLimits
from tests.camera.cable import cable_to
from tests.conftest import Serve


@pytest.fixture
def unresponsive() -> Iterator[str]:
    """The address of a socket with a full backlog. The kernel drops SYNs to it, as if a cable were pulled."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.asynccontextmanager
async def web_server() -> AsyncIterator[str]:
    """A web server that is not a device."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def refusal(url: str) -> str:
    with pytest.raises(LinkLost) as caught:
        async with connected(url, {}):
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9", "Connection refused"),
        ("http://no-such-device.invalid:8080", "Name or service not known|Temporary failure in name resolution"),
        ("http://255.255.255.255:8080", "Network is unreachable"),
    ],
)
async def test_an_error_has_the_address_and_the_reason(url: str, why: str) -> None:
    assert re.fullmatch(f"{url}: ({why})", await refusal(url))


async def test_a_web_server_is_reported_as_not_a_device() -> None:
    async with web_server() as url:
        assert await refusal(url) == f"{url}: the server is not a detection device (HTTP status 404)"


async def test_connecting_to_an_unresponsive_address_times_out(unresponsive: str) -> None:
    assert await refusal(unresponsive) == f"{unresponsive}: no answer"


def test_a_device_that_returns_is_tried_within_five_seconds() -> None:
    """The worst case: the device returns just after the first packet of an attempt was lost."""
    assert all(REACH_WITHIN_S + pause_s(failures, 1.0) < 5 for failures in (*range(20), 10**6))


@pytest.mark.parametrize("payload", [None, "soon", {}, {"min_interval": "soon", "max_side": 640, "jpeg_quality": 80},
                                  {"min_interval": 1, "max_side": float("inf"), "jpeg_quality": 80}])  # fmt: skip
def test_invalid_limits_are_ignored(payload: object) -> None:
    assert read_limits(payload) is None


def test_impossible_limits_are_clamped() -> None:
    payload = {"min_interval": -1, "max_side": 0, "jpeg_quality": 400}
    assert read_limits(payload) == CameraLimits(0.0, 16, 100, "")


def test_a_requested_wait_is_limited_to_an_hour() -> None:
    payload = {"min_interval": float("inf"), "max_side": 640, "jpeg_quality": 80}
    assert read_limits(payload) == CameraLimits(3600.0, 640, 80, "")
    assert [bounded_s(one) for one in (None, 0, "2", -1, float("nan"), 1e300)] == [0, 0, 2, 0, 0, 3600]


@pytest.mark.parametrize(
    ("payload", "permanent", "retry_after_s"),
    [
        ({"message": "no", "data": {"code": "unauthorized", "retry_after": None}}, True, 0),
        ({"message": "no", "data": {"code": "name_invalid"}}, True, 0),
        ({"message": "full", "data": {"code": "too_many_connections", "retry_after": 20}}, False, 20),
        ({"message": "full", "data": {"code": "too_many_connections", "retry_after": "x"}}, False, 0),
        ({"message": "unauthorized: wrong token for camera 'lens'"}, True, 0),
        ({"message": "too many connections (server.max_connections)"}, False, 0),
        ({}, False, 0),
        ({"success": False, "error": "this device is not known as 'x'", "code": "host_refused"}, True, 0),
    ],
)
def test_a_permanent_rejection_is_distinguished_from_a_temporary_one(
    payload: dict[str, object], permanent: bool, retry_after_s: float
) -> None:
    error = read_refusal(payload)
    assert isinstance(error, Rejected) == permanent
    assert error.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://device:8080", "socket.io"),
        ("http://device:8080/", "socket.io"),
        ("https://proxy/site/device-3/", "site/device-3/socket.io"),
        ("https://proxy/site/socket.io/?site=3", "site/socket.io"),
    ],
)
def test_the_path_prefix_of_the_url_is_kept(url: str, path: str) -> None:
    assert endpoint(url) == (url, path)


@pytest.mark.parametrize("body", [b"", b"hello", b"{}", b"0{}", b'0{"sid": 1}', b"\xff\xfe", b"4" * 1000])
async def test_an_invalid_polling_response_is_an_error(body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(LinkLost, match="http://127"):
            async with connected(url, {}, "polling"):
                pass


async def test_an_http_rejection_shows_the_message_of_the_device() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"success": false, "error": "this device is not known as \'x\'", "code": "host_refused"}'
        head = b"HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(LinkLost, match="this device is not known as 'x'"):
            async with connected(url, {}, "polling"):
                pass


async def test_an_agent_that_is_ended_while_it_closes_a_dead_connection_leaves_no_session_open(
    serve: Serve, made_sessions: list[aiohttp.ClientSession]
) -> None:
    """It would be reported much later, as a warning in whatever runs then."""
    async with serve() as running, cable_to(running.url) as cable:
        open_now, closing = asyncio.Event(), asyncio.Event()

        async def use() -> None:
            with contextlib.suppress(LinkLost):
                async with connected(cable.url, {}):
                    open_now.set()
                    await closing.wait()

        task = asyncio.create_task(use())
        await asyncio.wait_for(open_now.wait(), 10)
        cable.pull()
        closing.set()
        await asyncio.sleep(0.2)
        assert not task.done(), "a peer that does not answer keeps it closing for a second"
        task.cancel()
        await asyncio.wait({task})
        assert made_sessions
        assert not [session for session in made_sessions if not session.closed]
