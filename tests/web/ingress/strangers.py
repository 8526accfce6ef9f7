"""Clients that have not shown who they are: plain TCP connections to a running service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conftest import Running
from tests.web.camera import camera
from tests.web.ingress.peers import frame
from tests.web.requests import picture

UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n"
)
PATIENCE_S = 20


class Stranger:
    """A plain TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def flood(self, data: bytes, times: int) -> None:
        """Send everything, or until the service closes the connection."""
        try:
            for _ in range(times):
                await asyncio.wait_for(self.send(data), PATIENCE_S)
        except ConnectionError:
            pass

    async def closed(self) -> bytes:
        """All data until the service closes the connection."""
        heard = b""
        try:
            while piece := await asyncio.wait_for(self.reader.read(65536), PATIENCE_S):
                heard += piece
        except ConnectionError:
            pass
        return heard


@asynccontextmanager
async def stranger(running: Running, address: str = "127.0.0.1") -> AsyncIterator[Stranger]:
    """A connection from this address of 127/8."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(address, 0))
    try:
        yield Stranger(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def websocket(
    running: Running, name: str = "", extra: str = "", address: str = "127.0.0.1"
) -> AsyncIterator[Stranger]:
    """An open websocket; with a name also an accepted camera."""
    async with stranger(running, address) as opened:
        await opened.send(UPGRADE.format(extra))
        await asyncio.wait_for(opened.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if name:
            await opened.send(frame(1, b"40" + json.dumps({"name": name}).encode()))
            await asyncio.wait_for(opened.reader.readuntil(b'"connected"'), PATIENCE_S)
        yield opened


async def is_well(running: Running) -> None:
    """Assert that a camera gets results."""
    async with camera(running.url, name="good") as eye:
        await eye.push({"image": picture(7), "frame_id": "well"})
        assert (await eye.answer("well"))[0] == "detection_results"
