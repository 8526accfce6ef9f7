"""Unauthenticated clients cannot disturb cameras of a real service."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import zlib

import aiohttp
import anyio
import pytest

from tests.conftest import Serve
from tests.web.camera import camera
from tests.web.ingress.peers import frame, ready
from tests.web.ingress.strangers import PATIENCE_S, UPGRADE, is_well, stranger, websocket
from tests.web.requests import picture

SHORT = {"server__header_timeout_s": "1", "server__message_timeout_s": "4", "server__idle_timeout_s": "1"}


def post(length: int, *headers: str) -> str:
    lines = ["POST /v1/vision/detection HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", *headers]
    return "\r\n".join([*lines, "", ""])


async def test_stalled_uploads_over_the_budget_are_closed(serve: Serve) -> None:
    """Ten hold 900 kB each, with a budget of 6 MB: the oldest are closed, the others can finish."""
    limits = {"server__max_frame_bytes": "1000000", "server__max_unfinished_bytes": "1000000"}
    async with (
        ready(serve, **limits) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        uploads = [await stack.enter_async_context(stranger(running)) for _ in range(10)]
        for upload in uploads:
            await upload.flood(post(900_001).encode() + bytes(900_000), 1)
        assert await uploads[0].closed() == b""
        await is_well(running)
        await uploads[-1].send(b"x")
        assert (await uploads[-1].reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400")


async def test_a_long_message_before_connect_closes_the_websocket(serve: Serve) -> None:
    async with ready(serve) as running:
        async with websocket(running) as unknown:
            await unknown.send(frame(2, b"", length=29_000_000))
            await unknown.closed()
        async with websocket(running, name="known") as known:
            await known.send(frame(2, b"", length=9_000_000) + bytes(100_000))
            await is_well(running)
            assert not known.reader.at_eof()


async def test_a_compressed_message_before_connect_has_a_lower_limit(serve: Serve) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = bomb.compress(bytes(9_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    assert len(data) < 16_384, "or it would be refused for its length alone"
    offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    async with ready(serve, server__websocket_deflate="true") as running:
        async with websocket(running, extra=offer) as unknown:
            await unknown.send(frame(2, data[:-4], deflated=True))
            await unknown.closed()
        await is_well(running)


@pytest.mark.parametrize(
    "begun",
    ["", "GET /health HT", "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", post(1000), post(1000) + "abc", UPGRADE],
    ids=["nothing", "half_a_line", "half_the_headers", "no_body", "half_a_body", "no_connect"],
)
async def test_a_connection_that_stalls_is_closed(serve: Serve, begun: str) -> None:
    async with ready(serve, **SHORT) as running, stranger(running) as slow:
        await slow.send(begun.format(""))
        await slow.closed()
        await is_well(running)


async def test_an_unfinished_message_times_out_and_a_silent_camera_stays(serve: Serve) -> None:
    async with (
        ready(serve, **SHORT) as running,
        camera(running.url, name="silent") as silent,
    ):
        async with websocket(running, name="slow") as slow:
            await slow.send(frame(2, b"", length=1000) + b"abc")
            await slow.closed()
        assert silent.client.connected
        await silent.push({"image": picture(1), "frame_id": 1})
        assert (await silent.answer(1))[0] == "detection_results"


async def test_an_idle_connection_is_closed_after_its_response(serve: Serve) -> None:
    async with ready(serve, **SHORT) as running, stranger(running) as idle:
        await idle.send("GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await idle.closed()).startswith(b"HTTP/1.1 200")


async def test_sessions_without_connect_are_dropped_and_others_stay(serve: Serve) -> None:
    async with (
        ready(serve, **SHORT) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        opened = []
        for _ in range(1100):
            async with session.get("/socket.io/?EIO=4&transport=polling") as answer:
                opened.append(json.loads((await answer.text())[1:])["sid"])

        async def status(sid: str, body: str) -> int:
            url, fresh = f"/socket.io/?EIO=4&transport=polling&sid={sid}", {"Connection": "close"}
            async with session.post(url, data=body, headers=fresh) as answer:  # the service closes idle connections
                return answer.status

        assert await status(opened[0], "40") == 400, "newer sessions took its place"
        assert await status(opened[-1], "40{}") == 200
        with anyio.fail_after(PATIENCE_S):
            while await status(opened[-2], "3") == 200:
                await asyncio.sleep(0.2)
        assert await status(opened[-1], "3") == 200
        await is_well(running)


@pytest.mark.parametrize(
    "ping", [frame(9), frame(10, b"pong"), frame(1, b"2"), frame(1, b"3")], ids=["ping", "pong", "engine2", "engine3"]
)
async def test_a_flood_of_pings_closes_its_connection(serve: Serve, ping: bytes) -> None:
    async with ready(serve) as running:
        async with websocket(running, name="floods") as floods:
            await floods.flood(ping * 5000, 20)
            await floods.closed()
        async with websocket(running, name="pings") as pings:
            await pings.send(frame(9, b"are you there") * 5)
            assert await asyncio.wait_for(pings.reader.readuntil(b"are you there"), PATIENCE_S)
        await is_well(running)


@pytest.mark.parametrize(
    "messages",
    [
        [frame(2, b"no event announced this")],
        [frame(1, b'59-["process_frame",{"_placeholder":true,"num":0}]')] + [frame(2, bytes(300_000))] * 9,
    ],
    ids=["unannounced", "too_long_together"],
)
async def test_attachments_of_all_clients_share_a_limit(
    serve: Serve, messages: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async with ready(serve, server__max_frame_bytes="200000") as running:
        async with websocket(running, name="attaches") as attaches:
            await attaches.flood(b"".join(messages), 1)
            await attaches.closed()
        await is_well(running)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_camera_connects_at_the_limit_of_idle_connections(serve: Serve) -> None:
    async with (
        ready(serve, server__max_connections="2") as running,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(300):
            await stack.enter_async_context(stranger(running))
        await is_well(running)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_compressed_body_is_refused_without_decompression(serve: Serve, encoding: str) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    async with ready(serve) as running, stranger(running) as compresses:
        await compresses.send(post(len(bomb) + 1, f"Content-Encoding: {encoding}", "Content-Type: image/jpeg"))
        await compresses.send(bomb)
        heard = await compresses.closed()
        assert heard.startswith(b"HTTP/1.1 415")
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["code"] == "encoding_unsupported"


@pytest.mark.parametrize("head", [post(99_000_000), post(0).replace("Content-Length: 0", "Transfer-Encoding: chunked")])
async def test_after_a_body_that_is_too_large_the_connection_is_closed(serve: Serve, head: str) -> None:
    async with (
        ready(serve, server__max_frame_bytes="200000") as running,
        stranger(running) as sends,
    ):
        await sends.send(head)
        endless = asyncio.ensure_future(sends.flood(b"10000\r\n" + bytes(0x10000) + b"\r\n", 100_000))
        heard = await sends.closed()
        assert heard.startswith(b"HTTP/1.1 413")
        assert b"Connection: close" in heard
        await endless


async def test_one_byte_chunks_and_fragments_close_the_connection(serve: Serve) -> None:
    async with ready(serve) as running:
        async with stranger(running) as chunks:
            await chunks.send(post(0).replace("Content-Length: 0", "Transfer-Encoding: chunked"))
            await chunks.flood(b"1\r\na\r\n" * 10_000, 20)
            await chunks.closed()
        async with websocket(running, name="fragments") as fragments:
            await fragments.send(frame(2, b"a", fin=False))
            await fragments.flood(frame(0, b"b", fin=False) * 5000, 20)
            await fragments.closed()
        await is_well(running)


async def test_compressed_parts_of_a_form_are_not_decompressed(serve: Serve) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\nContent-Encoding: gzip\r\n\r\n'
    body = part + bomb + b"\r\n--x--\r\n"
    async with (
        ready(serve) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        async with session.post("/v1/vision/detection", data=body, headers=form) as answer:
            assert answer.status == 400


async def test_a_client_that_disconnects_during_its_upload_leaves_no_traceback(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with ready(serve) as running:
        async with stranger(running) as leaves:
            await leaves.send(post(1000) + "abc")
            with anyio.fail_after(PATIENCE_S):
                while not running.started.parts.limiter.budget.bytes:
                    await asyncio.sleep(0.02)
        await is_well(running)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]


async def test_the_read_size_of_asyncio_can_be_set(serve: Serve) -> None:
    """The attribute is undocumented; without it reads are four times larger."""
    async with ready(serve) as running, stranger(running) as opened:
        assert isinstance(opened.writer.transport.max_size, int)  # type: ignore[attr-defined]
