"""A websocket of Socket.IO, with the interface of Engine.IO's aiohttp driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

from appliance.token_bucket import TokenBucket
from appliance.web.early_frames import EarlyFrames
from appliance.web.ingress.handler import GuardedHandler
from appliance.web.ingress.limits import message_work

_MESSAGE = "4"
"""The type of Engine.IO packets with a payload; all other types are for control."""


class WebSocket:
    """A websocket with the interface of Engine.IO's aiohttp driver."""

    def __init__(
        self,
        handler: Callable[[Any], Awaitable[None]],
        *,
        max_message_bytes: int,
        rate: TokenBucket,
        early: EarlyFrames,
        upgraded: Callable[[GuardedHandler, str | None], None],
    ) -> None:
        self._handler, self._rate, self._early, self._upgraded = handler, rate, early, upgraded
        self._socket = web.WebSocketResponse(max_msg_size=max_message_bytes, autoping=False)
        self._connection: GuardedHandler | None = None

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        self.environ = environ
        await self._socket.prepare(request)
        if isinstance(request.protocol, GuardedHandler):
            self._connection = request.protocol
            self._upgraded(request.protocol, request.query.get("sid"))
        await self._handler(self)
        return self._socket

    async def close(self) -> None:
        await self._socket.close()

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._socket.send_bytes(message)
        else:
            await self._socket.send_str(message)

    async def wait(self) -> str | bytes:
        """The next message that Engine.IO is to handle. Raises OSError when the connection ends."""
        while (message := self._early.take()) is None:
            self._early.put(await self._receive())
        return message

    async def _receive(self) -> str | bytes:
        """The next message. Answers pings. Raises OSError when the connection ends or sends too many pings."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            elif message.type is not WSMsgType.PONG:
                raise OSError("the websocket is closed")
        data: str | bytes = message.data
        if self._connection is not None:
            self._connection.message_read()
            if isinstance(data, str) and not data.startswith(_MESSAGE) and not self._connection.control():
                raise OSError("too many pings")
        work = message_work(data)
        wait_s = max(self._rate.take(work), self._connection.work(work) if self._connection is not None else 0.0)
        if wait_s:
            await asyncio.sleep(wait_s)
        return data
