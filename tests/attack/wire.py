"""TCP, HTTP, WebSocket and Socket.IO for attackers, as raw bytes, so that no library prevents malformed data."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SOCKETS = "/socket.io/?EIO=4&transport=websocket"
POLLING = "/socket.io/?EIO=4&transport=polling"
DETECT = "/v1/vision/detection"
GUARDED_TOKEN = "a token that nobody guesses"
"""Of the one camera in the victim's settings."""

_HANDSHAKE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
_HANDSHAKE += "Sec-WebSocket-Version: 13\r\n"


class Vulnerable(Exception):
    """The service did something that it must not do, as the text says."""


@dataclass(slots=True)
class Wire:
    """One TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Read and discard until the service closes the connection."""
        while await self.reader.read(1 << 16):
            pass

    async def status(self) -> int:
        """The status of the next HTTP response; its header is consumed."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split(None, 2)[1])

    async def message(self) -> bytes:
        """The payload of the next WebSocket frame."""
        _, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return await self.reader.readexactly(length)


@dataclass(slots=True)
class Target:
    """The service under attack, and the number of local addresses of the attacker."""

    url: str
    addresses: int = 1
    _next: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def next_address(self) -> str:
        """The attacker's next address."""
        return f"127.0.66.{1 + next(self._next) % self.addresses}"

    @contextlib.asynccontextmanager
    async def dial(self) -> AsyncIterator[Wire]:
        """A connection from the attacker's next address."""
        address = self.next_address()
        parts = urlsplit(self.url)
        connecting = asyncio.open_connection(parts.hostname, parts.port, local_addr=(address, 0))
        reader, writer = await asyncio.wait_for(connecting, 10)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """An HTTP request. `headers`: `Content_Type="..."`; they are not checked."""
        known = {"Host": self.host, "Content-Length": str(len(body)), **_named(headers)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in known.items() if value)
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> int:
        """Send one request on a new connection; return the status of the response."""
        async with self.dial() as wire:
            await wire.send(self.request(method, path, body, **headers))
            return await asyncio.wait_for(wire.status(), 30)

    @contextlib.asynccontextmanager
    async def websocket(self, path: str = SOCKETS) -> AsyncIterator[Wire]:
        """Open a WebSocket without a Socket.IO connection."""
        async with self.dial() as wire:
            await wire.send(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n{_HANDSHAKE}\r\n".encode())
            if await asyncio.wait_for(wire.status(), 30) != 101:
                raise ConnectionError("no WebSocket")
            yield wire

    @contextlib.asynccontextmanager
    async def joined(self, name: str | None = None) -> AsyncIterator[Wire]:
        """Open a WebSocket with a Socket.IO connection."""
        async with self.websocket() as wire:
            await wire.message()  # OPEN
            await wire.send(text("40" + (json.dumps({"name": name}) if name else "")))
            if not (await asyncio.wait_for(wire.message(), 30)).startswith(b"40"):
                raise ConnectionError("Socket.IO refused the connection")
            yield wire

    async def handshake(self) -> str:
        """Open an Engine.IO session over polling; return its session ID."""
        async with self.dial() as wire:
            await wire.send(self.request("GET", POLLING, Connection="close"))
            if await asyncio.wait_for(wire.status(), 30) != 200:
                raise ConnectionError("no polling session")
            body = await asyncio.wait_for(wire.reader.read(), 30)
            return str(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["sid"])


def frame(payload: bytes, opcode: int = 1, *, last: bool = True, length: int | None = None) -> bytes:
    """A WebSocket frame with a mask of zeros. `length`: the declared length, if it differs from the real one."""
    claimed = len(payload) if length is None else length
    first = bytes([(0x80 if last else 0) | opcode])
    if claimed < 126:
        return first + bytes([0x80 | claimed]) + bytes(4) + payload
    if claimed < 1 << 16:
        return first + b"\xfe" + struct.pack(">H", claimed) + bytes(4) + payload
    return first + b"\xff" + struct.pack(">Q", claimed) + bytes(4) + payload


def text(packet: str) -> bytes:
    """An Engine.IO packet as a WebSocket text frame."""
    return frame(packet.encode())


def event(name: str, *arguments: Any) -> bytes:
    """A Socket.IO event without attachments."""
    return text("42" + json.dumps([name, *arguments]))


def picture_event(data: bytes) -> bytes:
    """`process_frame` with this picture as its attachment."""
    return text('451-["process_frame",{"_placeholder":true,"num":0}]') + frame(data, 2)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
