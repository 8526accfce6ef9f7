"""The connections of Socket.IO clients, and how they are closed.

Rules of this file:
- A client is disconnected by closing its TCP connection, without a Socket.IO packet. After a "disconnect" or "close"
  packet python-socketio and socket.io-client do not reconnect; after a lost connection both do, and so does
  `appliance camera` (tests/clients/test_restart.py).
- No state of a client remains after its connection has ended, for whatever reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from appliance.web import old_clients
from appliance.web.clients import peer_of
from appliance.web.ingress.handler import GuardedHandler

log = logging.getLogger(__name__)

_PATH = "/socket.io/"
_POLL_S = 0.01
_NO_UPGRADE = (
    "transport=websocket requires the headers `Connection: Upgrade` and `Upgrade: websocket`. If the client sends "
    "them, check that no proxy removes them\n"
)


class Connections:
    """All open requests of Socket.IO clients. Its middleware `watch` must handle every request."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._requests: dict[int, web.BaseRequest] = {}
        """Open requests by their identity: websockets, and polls that wait for an event."""
        self._refuses_new = self._refuses_all = False
        self.passes_on: Callable[[web.BaseRequest], bool] = lambda request: False
        """Whether the front of the site is to offer a new connection to another device."""

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware: record open requests, and refuse those that cannot be served."""
        if not request.path.startswith(_PATH):
            return await handler(request)
        if self._refuses_all or (self._refuses_new and "sid" not in request.query):
            return _stopping()
        if "sid" not in request.query and self.passes_on(request):
            return _try_later("this camera belongs to another device of the site now", "moved")
        if old_clients.is_old(request):
            return await old_clients.refuse(request)
        if request.query.get("transport") == "websocket" and not _asks_for_websocket(request):
            return web.Response(status=400, text=_NO_UPGRADE)
        self._requests[id(request)] = request
        try:
            return await handler(request)
        except (web.HTTPException, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  # malformed data that the library does not handle
            await self.drop(self._client_of(request), f"{type(error).__name__}: {error}")
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=400, text="malformed request\n")
        finally:
            del self._requests[id(request)]

    async def drop(self, eio_sid: str | None, why: str) -> None:
        """Close the connection of a client that sent malformed data."""
        request = self._server.environ.get(eio_sid, {}).get("aiohttp.request")
        peer = peer_of(request)
        log.warning(
            "closed the connection of %s: malformed packet (%s)", peer, why[:200],
            extra={"kind": "bad_packet", "code": "bad_packet"},
        )  # fmt: skip
        await self._close_client(eio_sid, request)

    def request_of(self, sid: str) -> web.BaseRequest | None:
        """The request that opened the connection of a Socket.IO client."""
        eio_sid = self._server.manager.eio_sid_from_sid(sid, "/")
        request: web.BaseRequest | None = self._server.environ.get(eio_sid, {}).get("aiohttp.request")
        return request

    def hold(self, sid: str, wait_s: float) -> None:
        """Read nothing from a Socket.IO client's websocket for this time. One that polls is not held."""
        eio_sid, first = self._server.manager.eio_sid_from_sid(sid, "/"), self.request_of(sid)
        for one in self._requests.values():
            same_client = one is first or (eio_sid is not None and one.query.get("sid") == eio_sid)
            if same_client and one.query.get("transport") == "websocket" and isinstance(one.protocol, GuardedHandler):
                one.protocol.hold(wait_s)

    async def end(self, sid: str, why: str) -> None:
        """Close the connection of a Socket.IO client. It may connect again."""
        request = self.request_of(sid)
        peer = peer_of(request)
        log.warning("closed the connection of %s: %s", peer, why, extra={"kind": "ended", "reason": why})
        await self._close_client(self._server.manager.eio_sid_from_sid(sid, "/"), request)

    async def _close_client(self, eio_sid: str | None, request: web.BaseRequest | None) -> None:
        client = self._server.eio.sockets.get(eio_sid)
        if client is not None:
            await client.close(wait=False, abort=True)
            self._server.eio.sockets.pop(eio_sid, None)
        for one in list(self._requests.values()):
            same_client = eio_sid is not None and one.query.get("sid") == eio_sid
            if one.method == "GET" and (one is request or same_client):
                _close(one)  # a POST gets its response; the client's next request learns that the session has ended

    def refuse_new(self) -> None:
        """From now on refuse new clients with 503 and Retry-After; connected clients stay."""
        self._refuses_new = True

    async def close_all(self, within_s: float) -> None:
        """Close all connections once their pending data has been sent; abort those that take longer."""
        self._refuses_new = self._refuses_all = True
        for request in list(self._requests.values()):
            _close(request)
        with anyio.move_on_after(within_s):
            while self._requests:  # noqa: ASYNC110  # each is removed when its handler ends
                await asyncio.sleep(_POLL_S)
        for request in list(self._requests.values()):
            if request.transport is not None:
                request.transport.abort()
        await self._server.shutdown()

    def _client_of(self, request: web.BaseRequest) -> str | None:
        """The Engine.IO id of the client that sent this request."""
        eio_sid = request.query.get("sid")
        if eio_sid is not None:
            return eio_sid
        environs = self._server.environ.items()
        return next((sid for sid, environ in environs if environ.get("aiohttp.request") is request), None)


def _asks_for_websocket(request: web.BaseRequest) -> bool:
    connection = [word.strip() for word in request.headers.get("Connection", "").lower().split(",")]
    return "upgrade" in connection and request.headers.get("Upgrade", "").lower() == "websocket"


def _stopping() -> web.Response:
    return _try_later("the device is stopping or restarting; try again in a few seconds", "shutting_down")


def _try_later(error: str, code: str) -> web.Response:
    response = web.json_response({"error": error, "code": code}, status=503, headers={"Retry-After": "2"})
    response.force_close()
    return response


def _close(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()
