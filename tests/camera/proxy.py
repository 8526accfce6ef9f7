"""A reverse proxy in front of a device: it adds a path prefix and can block WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

PREFIX = "/site/device-3"


@dataclass
class Proxy:
    """`websockets`: pass, refuse, busy, hang or cut. `seen`: the transport of each request."""

    target: str
    websockets: str = "pass"
    url: str = ""
    seen: list[str] = field(default_factory=list)
    auth: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.query.get("transport", ""))
        self.auth = request.headers.get("Authorization", "")
        if not request.path.startswith(PREFIX + "/"):
            raise web.HTTPNotFound
        target = self.target + request.path_qs.removeprefix(PREFIX)
        async with aiohttp.ClientSession() as session:
            if "Upgrade" in request.headers:
                return await self._websocket(request, session, target)
            async with session.request(request.method, target, data=await request.read()) as response:
                return web.Response(body=await response.read(), status=response.status)

    async def _websocket(self, request: web.Request, session: aiohttp.ClientSession, target: str) -> web.StreamResponse:
        if self.websockets == "refuse":
            raise web.HTTPForbidden
        if self.websockets == "busy":
            raise web.HTTPServiceUnavailable
        if self.websockets == "hang":
            await asyncio.sleep(60)
        if self.websockets == "cut":
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPForbidden
        here = web.WebSocketResponse(max_msg_size=0)
        await here.prepare(request)
        async with session.ws_connect(target, max_msg_size=0) as there:
            ways = [asyncio.create_task(_forward(here, there)), asyncio.create_task(_forward(there, here))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        return here


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _forward(source: Socket, sink: Socket) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        else:
            await sink.send_bytes(message.data)


@contextlib.asynccontextmanager
async def proxy(target: str, websockets: str = "pass") -> AsyncIterator[Proxy]:
    made = Proxy(target, websockets)
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
        yield made
    finally:
        await runner.cleanup()
