"""The Socket.IO driver: large frames over both transports, and the private names it depends on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
import pytest
import socketio

from appliance.vision import decode
from tests.conftest import Serve
from tests.web.camera import camera
from tests.web.ingress.peers import ready
from tests.web.requests import picture

LARGE_BODIES = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
"""python-engineio's client passes its bodies to aiohttp as bytes."""


@pytest.fixture(scope="module")
def large() -> bytes:
    """A JPEG of noise, larger than a megabyte."""
    noise = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    data = decode.encode_jpeg(noise, 95)
    assert len(data) > 1_000_000
    return data


def test_the_private_names_of_the_library_still_exist() -> None:
    """If this fails, the library has changed: adapt appliance/web/transport.py."""
    driver = socketio.AsyncServer(async_mode="aiohttp").eio._async
    assert {"translate_request", "websocket", "create_route", "make_response"} <= driver.keys()
    handlers = socketio.AsyncServer(async_mode="aiohttp").eio.handlers
    assert {"connect", "message", "disconnect"} <= handlers.keys()


@LARGE_BODIES
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_large_frames_arrive_complete(serve: Serve, large: bytes, transport: str) -> None:
    async with (
        ready(serve) as running,
        camera(running.url, "large", transports=[transport]) as eye,
    ):
        for number in range(5):
            await eye.push({"image": large, "frame_id": number})
            event, found = await eye.answer(number)
            assert event in ("detection_results", "frame_skipped"), found
        assert any(event == "detection_results" for event, _ in eye.heard)


@LARGE_BODIES
async def test_many_frames_in_one_polled_body_arrive(serve: Serve) -> None:
    async with (
        ready(serve, flow__burst="100") as running,
        camera(running.url, transports=["polling"]) as eye,
    ):
        for number in range(20):
            await eye.push_blind({"image": picture(1), "frame_id": number})
        await eye.until(lambda heard: eye.count() >= 20)
        assert all(eye.answers(number) for number in range(20))


async def test_a_polled_body_may_be_chunked_and_come_in_pieces(serve: Serve) -> None:
    async def pieces(text: str) -> AsyncIterator[bytes]:
        for start in range(0, len(text), 3):
            yield text[start : start + 3].encode()
            await asyncio.sleep(0.01)

    async with (
        ready(serve) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        address = "/socket.io/?EIO=4&transport=polling"
        async with session.get(address) as answer:
            address += "&sid=" + (await answer.text()).split('"')[3]
        async with session.post(address, data=pieces('40{"name":"pieces"}')) as answer:
            assert answer.status == 200
        async with session.get(address) as answer:
            assert '"camera":"pieces"' in await answer.text()


@pytest.mark.parametrize(("connect", "size"), [(False, 20_000), (True, 700_000)], ids=["before_connect", "after"])
async def test_a_polled_body_that_is_too_large_is_refused_unread(serve: Serve, connect: bool, size: int) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"4" * (size // 2)
        await asyncio.Event().wait()

    limits = {"server__max_frame_bytes": "200000"}
    async with (
        ready(serve, **limits) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        address = "/socket.io/?EIO=4&transport=polling"
        async with session.get(address) as answer:
            address += "&sid=" + (await answer.text()).split('"')[3]
        if connect:
            async with session.post(address, data="40") as answer:
                assert answer.status == 200
        async with session.post(address, data=half(), headers={"Content-Length": str(size)}) as answer:
            assert answer.status == 413
            assert answer.headers["Connection"] == "close", "the rest of the body is not read"
