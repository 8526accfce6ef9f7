"""Attacks on HTTP: its parser, connections and routes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from functools import cache

from tests.attack.malformed import MALFORMED
from tests.attack.pictures import camera_picture
from tests.attack.table import attack
from tests.attack.wire import DETECT, POLLING, Target, Vulnerable

_FORM = "multipart/form-data; boundary=x"
_PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'


@attack("malformed HTTP of 28 kinds", at_once=4, quick=True)
async def malformed_http(target: Target) -> None:
    for data in MALFORMED.values():
        async with target.dial() as wire:
            await wire.send(data)
            await asyncio.wait_for(wire.reader.read(300), 1)


@attack("60 stalled uploads of 9.9 MB", at_once=60, addresses=20, quick=True)
async def stalled_uploads(target: Target) -> None:
    async with target.dial() as wire:
        head = target.request("POST", DETECT, Content_Type="image/jpeg", Content_Length="9900000")
        await wire.send(head + camera_picture())
        for _ in range(9):
            await wire.send(bytes(1_000_000))
        await wire.until_closed()


@attack("60 stalled polling uploads of 9.9 MB", at_once=60, addresses=20)
async def stalled_polling(target: Target) -> None:
    sid = await target.handshake()
    async with target.dial() as wire:
        await wire.send(target.request("POST", f"{POLLING}&sid={sid}", Content_Length="9900000"))
        for _ in range(9):
            await wire.send(bytes(1_000_000))
        await wire.until_closed()


@cache
def _bomb() -> bytes:
    """9 GB of zeros in 9 MB: a gzip file can have several members."""
    return gzip.compress(bytes(100_000_000)) * 90


@cache
def _deflated() -> bytes:
    return zlib.compress(bytes(200_000_000))


@attack("gzip bombs: 9 MB that inflate to 9 GB", at_once=8, quick=True, prepare=_bomb)
async def gzip_bombs(target: Target) -> None:
    await target.ask("POST", DETECT, _bomb(), Content_Type="image/jpeg", Content_Encoding="gzip")


@attack("deflate bombs in a form, to Socket.IO and to pages", at_once=4, prepare=_deflated)
async def other_bombs(target: Target) -> None:
    small = _deflated()
    await target.ask("POST", DETECT, small, Content_Type=_FORM, Content_Encoding="deflate")
    await target.ask("POST", "/v1/vision/custom/list", small, Content_Encoding="deflate")
    sid = await target.handshake()
    await target.ask("POST", f"{POLLING}&sid={sid}", small, Content_Encoding="deflate")


@attack("multipart without an end: a million parts", at_once=2, quick=True)
async def endless_multipart(target: Target) -> None:
    async with target.dial() as wire:
        await wire.send(target.request("POST", DETECT, Content_Type=_FORM, Content_Length="50000000"))
        part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
        for _ in range(1000):
            await wire.send(part * 1000)
        await wire.until_closed()


@attack("multipart: one field of 50 MB, headers without end", at_once=4)
async def large_multipart(target: Target) -> None:
    for start in (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n', b"--x\r\n"):
        async with target.dial() as wire:
            await wire.send(target.request("POST", DETECT, Content_Type=_FORM, Content_Length="50000000") + start)
            for _ in range(500):
                await wire.send(b"X-Header: " + bytes(100_000) + b"\r\n")


@attack("8192 idle connections", at_once=8192, addresses=200, quick=True)
async def idle_connections(target: Target) -> None:
    async with target.dial() as wire:
        await wire.until_closed()


@attack("8192 idle connections from one address", at_once=8192)
async def idle_from_one(target: Target) -> None:
    async with target.dial() as wire:
        await wire.until_closed()


@attack("slow header: a byte a second", at_once=500, addresses=20, quick=True)
async def slow_header(target: Target) -> None:
    async with target.dial() as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
        while not wire.reader.at_eof():
            await wire.send(b"x")
            await asyncio.sleep(1)


@attack("slow body: a byte a second, in chunks", at_once=200, addresses=20)
async def slow_body(target: Target) -> None:
    async with target.dial() as wire:
        await wire.send(target.request("POST", DETECT, Content_Length="", Transfer_Encoding="chunked"))
        while not wire.reader.at_eof():
            await wire.send(b"1\r\nx\r\n")
            await asyncio.sleep(1)


@attack("chunks of one byte, as fast as they go", at_once=2, quick=True)
async def tiny_chunks(target: Target) -> None:
    async with target.dial() as wire:
        await wire.send(target.request("POST", DETECT, Content_Length="", Transfer_Encoding="chunked"))
        for _ in range(2000):
            await wire.send(b"1\r\nx\r\n" * 5000)


@attack("HTTP pipelining: 20,000 requests without reading", at_once=2, quick=True)
async def pipelining(target: Target) -> None:
    async with target.dial() as wire:
        for _ in range(100):
            await wire.send(target.request("GET", "/health") * 200)


@attack("latest.jpg: polled by many", at_once=16)
async def latest_pictures(target: Target) -> None:
    await target.ask("GET", "/cameras/good0/latest.jpg")


@attack("/health, /metrics and the history, asked by many", at_once=8)
async def reports(target: Target) -> None:
    for path in ("/health", "/metrics", "/health/history?span=day", "/"):
        await target.ask("GET", path)


@attack("100-continue, ranges, methods, huge queries, paths upwards", at_once=4, quick=True)
async def odd_requests(target: Target) -> None:
    async with target.dial() as wire:
        await wire.send(target.request("POST", DETECT, Content_Length="9900000", Expect="100-continue"))
        await asyncio.wait_for(wire.reader.read(100), 1)
    for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT"):
        for path in ("/", "/health", DETECT, "/socket.io/?EIO=4"):
            if await target.ask(method, path) >= 500:
                raise Vulnerable(f"{method} {path} is an internal error")
    await target.ask("GET", "/page/page.js", Range="bytes=" + ",".join(f"{n}-{n + 9}" for n in range(900)))
    await target.ask("GET", "/page/page.js", Range="bytes=-99999999999999999999")
    await target.ask("GET", "/health?" + "a=b&" * 1900)
    for path in ("/page/../app.py", "/page/%2e%2e%2fapp.py", "/page/..%5capp.py", "/page//etc/passwd",
                 "/cameras/../../etc/passwd/latest.jpg", "/page/%00", "/page/" + "a" * 4000):  # fmt: skip
        if await target.ask("GET", path) not in (400, 403, 404, 414):
            raise Vulnerable(f"{path[:40]} is answered")


@attack("requests of other origins and rebound names", at_once=2, quick=True)
async def other_origins(target: Target) -> None:
    picture = camera_picture()
    if await target.ask("POST", DETECT, picture, Origin="http://evil.example") == 200:
        raise Vulnerable("a POST of another origin is served")
    if await target.ask("POST", DETECT, picture, Origin="null") == 200:
        raise Vulnerable("a POST of origin null is served")
    for path in ("/health", "/", POLLING):
        if await target.ask("GET", path, Host="evil.example:8080") == 200:
            raise Vulnerable(f"{path} is served under a foreign name (DNS rebinding)")
    if await target.ask("GET", POLLING, Origin="http://evil.example") == 200:
        raise Vulnerable("Socket.IO is served to another origin")
