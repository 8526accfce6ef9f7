"""One connection: what it says when there is none, and how soon it gives up."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from appliance.camera.agent import pause_s
from appliance.camera.link import (
    REACH_WITHIN_S,
    LinkLost,
    Rejected,
    bounded_s,
    connected,
    endpoint,
    read_limits,
    read_refusal,
)
from appliance.values import CameraLimits


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address whose kernel drops what asks for a connection, as a pulled cable does: its queue is full."""
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
    """Not a box."""

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
        ("http://no-such-box.invalid:8080", "Name or service not known|Temporary failure in name resolution"),
        ("http://255.255.255.255:8080", "Network is unreachable"),
    ],
)
async def test_where_there_is_no_box_it_says_where_and_why(url: str, why: str) -> None:
    assert re.fullmatch(f"{url}: ({why})", await refusal(url))


async def test_a_web_server_that_is_no_box_is_said_to_be_something_else() -> None:
    async with web_server() as url:
        assert await refusal(url) == f"{url}: something else than a box answers there (HTTP status 404)"


async def test_a_network_that_swallows_everything_is_given_up(deaf: str) -> None:
    assert await refusal(deaf) == f"{deaf}: no answer"


def test_a_box_that_is_back_is_asked_within_five_seconds_however_long_it_was_gone() -> None:
    """The worst moment to come back is the beginning of an attempt whose first packet was lost."""
    assert all(REACH_WITHIN_S + pause_s(failures, 1.0) < 5 for failures in (*range(20), 10**6))


@pytest.mark.parametrize("told", [None, "soon", {}, {"min_interval": "soon", "max_side": 640, "jpeg_quality": 80},
                                  {"min_interval": 1, "max_side": float("inf"), "jpeg_quality": 80}])  # fmt: skip
def test_limits_that_are_none_change_nothing(told: object) -> None:
    assert read_limits(told) is None


def test_limits_that_no_camera_could_keep_are_brought_into_reach() -> None:
    told = {"min_interval": -1, "max_side": 0, "jpeg_quality": 400}
    assert read_limits(told) == CameraLimits(0.0, 16, 100, "")


def test_no_wait_that_a_device_asks_for_is_endless() -> None:
    told = {"min_interval": float("inf"), "max_side": 640, "jpeg_quality": 80}
    assert read_limits(told) == CameraLimits(3600.0, 640, 80, "")
    assert [bounded_s(one) for one in (None, 0, "2", -1, float("nan"), 1e300)] == [0, 0, 2, 0, 0, 3600]


@pytest.mark.parametrize(
    ("payload", "for_good", "retry_after_s"),
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
def test_a_refusal_for_good_is_told_from_one_for_now(
    payload: dict[str, object], for_good: bool, retry_after_s: float
) -> None:
    error = read_refusal(payload)
    assert isinstance(error, Rejected) == for_good
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
def test_a_prefix_of_the_address_is_kept(url: str, path: str) -> None:
    assert endpoint(url) == (url, path)


@pytest.mark.parametrize("body", [b"", b"hello", b"{}", b"0{}", b'0{"sid": 1}', b"\xff\xfe", b"4" * 1000])
async def test_whatever_answers_a_poll_is_said_to_be_no_device(body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(LinkLost, match="http://127"):
            async with connected(url, {}, "polling"):
                pass


async def test_a_refusal_over_http_is_shown_in_its_own_words() -> None:
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
