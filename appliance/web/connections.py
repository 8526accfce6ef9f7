"""The TCP connections that Socket.IO works over: which there are, and how they end.

Rules of this file:
- A connection is ended by closing its TCP connection, without a word in Socket.IO. "disconnect" and "close" packets
  say that the client is not wanted: python-socketio and socket.io-client do not come back after them. After a lost
  connection both try again by themselves, and so does our own agent (tests/clients/test_restart.py).
- Nothing of a client stays after its connection, however it ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from aiohttp import web

from appliance.web import old_clients

log = logging.getLogger(__name__)

_PATH = "/socket.io/"
_LOOK_S = 0.01
_NO_UPGRADE = (
    "transport=websocket needs the headers Connection: Upgrade and Upgrade: websocket. If the client sent them, a "
    "proxy in between has removed them\n"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connections:
    """Every Socket.IO request passes through `watch`."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._requests: dict[int, web.BaseRequest] = {}
        """Those under way, by their identity: each websocket, and each poll that waits for news."""
        self._refuses_new = self._refuses_all = False

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware."""
        if not request.path.startswith(_PATH):
            return await handler(request)
        if self._refuses_all or (self._refuses_new and "sid" not in request.query):
            return _stopping()
        if old_clients.is_old(request):
            return await old_clients.refuse(request)
        if request.query.get("transport") == "websocket" and not _asks_for_websocket(request):
            return web.Response(status=400, text=_NO_UPGRADE)
        self._requests[id(request)] = request
        try:
            return await handler(request)
        except (web.HTTPException, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  # malformed data, which the transport does not catch
            await self.drop(self._client_of(request), f"{type(error).__name__}: {error}")
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=400, text="malformed request\n")
        finally:
            del self._requests[id(request)]

    async def drop(self, eio_sid: str | None, why: str) -> None:
        """End the connection of a client that sent something malformed."""
        client = self._server.eio.sockets.get(eio_sid)
        request = self._server.environ.get(eio_sid, {}).get("aiohttp.request")
        peer = request.remote if request is not None else "unknown"
        log.warning(
            "closed the connection of %s: malformed packet (%s)", peer, why[:200],
            extra={"kind": "bad_packet", "code": "bad_packet"},
        )  # fmt: skip
        if client is not None:
            await client.close(wait=False, abort=True)
            self._server.eio.sockets.pop(eio_sid, None)
        for one in list(self._requests.values()):
            theirs = eio_sid is not None and one.query.get("sid") == eio_sid
            if one.method == "GET" and (one is request or theirs):
                _close(one)  # a POST is answered, and the client's next request says that its session is gone

    def refuse_new(self) -> None:
        """From now on whoever connects is asked to try again; who is here stays."""
        self._refuses_new = True

    async def close_all(self, within_s: float) -> None:
        """End all connections once what is written has been sent; those that do not read it are cut after this time."""
        self._refuses_new = self._refuses_all = True
        for request in list(self._requests.values()):
            _close(request)
        with anyio.move_on_after(within_s):
            while self._requests:  # noqa: ASYNC110  # each ends with its own handler
                await asyncio.sleep(_LOOK_S)
        for request in list(self._requests.values()):
            if request.transport is not None:
                request.transport.abort()
        await self._server.shutdown()

    def _client_of(self, request: web.BaseRequest) -> str | None:
        """The Engine.IO id of the client that this request belongs to."""
        named = request.query.get("sid")
        if named is not None:
            return named
        environs = self._server.environ.items()
        return next((eio_sid for eio_sid, environ in environs if environ.get("aiohttp.request") is request), None)


def _asks_for_websocket(request: web.BaseRequest) -> bool:
    connection = [word.strip() for word in request.headers.get("Connection", "").lower().split(",")]
    return "upgrade" in connection and request.headers.get("Upgrade", "").lower() == "websocket"


def _stopping() -> web.Response:
    body = {"error": "the device is stopping or restarting; try again in a few seconds", "code": "shutting_down"}
    response = web.json_response(body, status=503, headers={"Retry-After": "2"})
    response.force_close()
    return response


def _close(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()
