"""Closing one Socket.IO connection closes no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from appliance.web.connections import Connections

_UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


async def test_a_malformed_packet_of_an_unknown_client_closes_no_other_connection() -> None:
    connections = Connections(SimpleNamespace(eio=SimpleNamespace(sockets={}), environ={}))
    path = "/socket.io/?EIO=4&transport=websocket"
    good, bad = make_mocked_request("GET", path, _UPGRADE), make_mocked_request("GET", path, _UPGRADE)
    ended = asyncio.Event()

    async def waits(request: web.Request) -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    async def fails(request: web.Request) -> web.StreamResponse:
        raise ValueError("no such packet")

    camera = asyncio.ensure_future(connections.watch(good, waits))
    await asyncio.sleep(0)
    assert (await connections.watch(bad, fails)).status == 400
    assert not good.transport.close.called  # type: ignore[union-attr]
    ended.set()
    await camera
