"""A client that sends raw Engine.IO messages over a websocket, including invalid ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio

WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


class Wire:
    """An open websocket after the Engine.IO handshake."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = raw

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self.raw.send_bytes(message)
        else:
            await self.raw.send_str(message)

    async def join(self, auth: dict[str, Any] | None = None) -> str:
        """Send a CONNECT and return the packet that answers it."""
        await self.send("40" + (json.dumps(auth) if auth is not None else ""))
        return await self.next("40", "44")

    async def next(self, *prefixes: str) -> str:
        """The next message with one of these prefixes. Answers pings and skips other messages."""
        with anyio.fail_after(10):
            while True:
                message = await self.raw.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionResetError(message)
                if message.data == "2":
                    await self.send("3")
                if message.data.startswith(prefixes):
                    return str(message.data)

    async def call(self, number: int, event: list[Any]) -> Any:
        """Emit an event and return its acknowledgement."""
        await self.send(f"42{number}{json.dumps(event)}")
        return json.loads((await self.next(f"43{number}["))[2 + len(str(number)) :])[0]

    async def closed(self) -> None:
        """Wait until the device has closed the connection."""
        with anyio.fail_after(10):
            while (await self.raw.receive()).type is aiohttp.WSMsgType.TEXT:
                pass


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url + WEBSOCKET, max_msg_size=0) as raw:
        opened = Wire(raw)
        await opened.next("0")
        yield opened
