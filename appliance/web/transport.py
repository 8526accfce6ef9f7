"""The transport of Socket.IO: Engine.IO's aiohttp driver, with complete polled bodies and with limits.

Rules of this file:
- A polled body is read to its end. python-engineio's driver reads `request.content` once, which returns only the data
  that has arrived so far (docs/decisions/0010-polled-bodies.md).
- Until its CONNECT has been accepted, a session may only send short messages, and ends after a few seconds.
- `eio._async` is the only private name of the library in use; tests/web/test_transport_driver.py fails if it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import engineio.payload
from aiohttp import web

from appliance.token_bucket import TokenBucket
from appliance.web.early_frames import EarlyFrames
from appliance.web.ingress.budget import Usage
from appliance.web.ingress.handler import GuardedHandler
from appliance.web.ingress.limiter import ConnectionLimiter, log_closed
from appliance.web.ingress.limits import CONTROLS_AT_ONCE, CONTROLS_PER_S, GREETING_BYTES
from appliance.web.websocket import WebSocket

log = logging.getLogger(__name__)

_MAX_UNACCEPTED = 1000
"""Sessions without an accepted CONNECT, about 5 kB each; beyond this number the oldest are closed."""
_PACKETS_PER_BODY = 128
"""A polling client sends everything it has queued in one body. The library's limit of 16 allows eight frames with their
attachments."""
_MESSAGES_AT_ONCE, _MESSAGES_PER_S = 2000, 1000.0
"""Work of the messages read from one client, see `message_work`; a client that sends more has to wait: 125 frames a
second, or 60 other messages. No camera comes near."""


@dataclass(eq=False)
class _Session:
    """One Engine.IO session."""

    sid: str
    since_s: float
    address: str
    controls: TokenBucket
    connection: GuardedHandler | None
    attachments: Usage
    accepted: bool = False
    dropped: bool = False
    awaited: int = 0
    """Attachments of the current event that have not arrived yet."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """Its ping tasks: each sleeps for `ping_interval_s` and keeps the session in memory until then."""


class Transport:
    """Replaces the driver of a Socket.IO server. Call `sweep` once a second."""

    def __init__(self, server: Any, limiter: ConnectionLimiter) -> None:
        self._server, self._eio, self._limiter = server, server.eio, limiter
        self._sessions: dict[str, _Session] = {}
        self._unaccepted: dict[str, _Session] = {}
        """Oldest first."""
        self._closing: set[asyncio.Task[None]] = set()
        self.is_early: Callable[[str], bool] = lambda sid: False
        """Whether a frame of this Socket.IO client would come too early now."""
        self.refuse_early: Callable[[str, Any], bool] = lambda sid, payload: False
        """Refuses a frame of this Socket.IO client if it comes too early; returns whether it did."""
        engineio.payload.Payload.max_decode_packets = _PACKETS_PER_BODY
        driver = self._eio._async
        self._translate = driver["translate_request"]
        self._eio._async = {**driver, "translate_request": self._read_request, "websocket": self._websocket}
        self._start = self._eio.start_background_task
        self._eio.start_background_task = self._start_task
        handlers = self._eio.handlers
        self._connected, self._message = handlers["connect"], handlers["message"]
        self._disconnected = handlers["disconnect"]
        self._eio.on("connect", self._on_connect)
        self._eio.on("message", self._on_message)
        self._eio.on("disconnect", self._on_disconnect)

    def sweep(self, now: float) -> None:
        """Drop sessions that have not sent a CONNECT, or the attachments of an event, in time."""
        limits = self._limiter.limits
        for session in list(self._unaccepted.values()):
            if now - session.since_s <= limits.header_timeout_s:
                break
            self._drop(session, f"no accepted CONNECT within {limits.header_timeout_s:g} s (server.header_timeout_s)")
        for session in list(self._sessions.values()):
            if session.attachments.bytes and now - session.attachments.since_s > limits.message_timeout_s:
                why = f"no complete event within {limits.message_timeout_s:g} s (server.message_timeout_s)"
                self._drop(session, f"{why}: attachments are missing")

    # Called by the driver: one function per transport.

    async def _read_request(self, request: web.Request) -> dict[str, Any]:
        """Engine.IO's `environ`, with the complete body of a POST."""
        environ: dict[str, Any] = self._translate(request)
        if request.method != "POST":
            return environ
        session = self._sessions.get(request.query.get("sid", ""))
        body = b""
        if session is not None:  # without a session the request is refused, and its body stays unread
            limits = self._limiter.limits
            body = await _read_body(request, limits.max_message_bytes if session.accepted else GREETING_BYTES)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = _Body(body), str(len(body))
        return environ

    def _websocket(self, handler: Callable[[Any], Awaitable[None]], server: Any) -> WebSocket:
        session: Any = getattr(handler, "__self__", None)
        return WebSocket(
            handler,
            max_message_bytes=self._limiter.limits.max_message_bytes,
            rate=TokenBucket(_MESSAGES_AT_ONCE, _MESSAGES_PER_S, self._limiter.clock),
            early=EarlyFrames(_Early(self, session.sid)),
            upgraded=self._upgraded,
        )

    def _upgraded(self, connection: GuardedHandler, sid: str | None) -> None:
        """A websocket has opened for a session that started with polling."""
        session = self._sessions.get(sid or "")
        if session is not None:
            session.connection = connection
            if session.accepted:
                connection.accept()

    def client_of(self, eio_sid: str) -> str | None:
        """The Socket.IO client of a session that is between two events; None: there is none."""
        session = self._sessions.get(eio_sid)
        if session is None or not session.accepted or session.dropped or session.awaited:
            return None
        sid: str | None = self._server.manager.sid_from_eio_sid(eio_sid, "/")
        return sid

    # Engine.IO's events, before they are passed to Socket.IO.

    async def _on_connect(self, sid: str, environ: Mapping[str, Any]) -> Any:
        request: web.Request = environ["aiohttp.request"]
        protocol = request.protocol
        connection = protocol if isinstance(protocol, GuardedHandler) else None
        session = _Session(
            sid,
            self._limiter.clock(),
            connection.address if connection else "",
            TokenBucket(CONTROLS_AT_ONCE, CONTROLS_PER_S, self._limiter.clock),
            connection if request.query.get("transport") == "websocket" else None,
            Usage(close=lambda why: self._drop(session, why)),
        )
        self._sessions[sid] = self._unaccepted[sid] = session
        while len(self._unaccepted) > _MAX_UNACCEPTED:
            oldest = next(iter(self._unaccepted.values()))
            self._drop(oldest, f"more than {_MAX_UNACCEPTED} sessions without an accepted CONNECT")
        return await self._connected(sid, environ)

    async def _on_message(self, sid: str, data: str | bytes) -> None:
        session = self._sessions.get(sid)
        if session is None or session.dropped:
            return
        if not session.accepted and session.controls.take():
            self._drop(session, "too many messages before an accepted CONNECT")
            return
        self._count_attachments(session, data)
        if session.dropped:
            return
        try:
            await self._message(sid, data)
        except Exception:
            session.awaited = 0
            self._limiter.budget.release(session.attachments)
            raise
        if not session.accepted and self._server.manager.sid_from_eio_sid(sid, "/"):
            session.accepted = True
            self._unaccepted.pop(sid, None)
            if session.connection is not None:
                session.connection.accept()

    async def _on_disconnect(self, sid: str, reason: Any = None) -> None:
        session = self._sessions.pop(sid, None)
        if session is not None:
            self._unaccepted.pop(sid, None)
            self._limiter.budget.release(session.attachments)
            for task in session.tasks - {asyncio.current_task()}:
                task.cancel()
        await self._disconnected(sid, reason)

    def _count_attachments(self, session: _Session, data: str | bytes) -> None:
        """Charge attachments to the budget: Socket.IO keeps an event in memory until all of them have arrived."""
        if isinstance(data, str):
            count, dash, _ = data[1:12].partition("-")
            session.awaited = int(count) if data[:1] in "56" and dash and count.isdecimal() else 0
        else:
            session.awaited = max(0, session.awaited - 1)
        if isinstance(data, str) or not session.awaited:
            self._limiter.budget.release(session.attachments)
        else:
            self._limiter.budget.grow(session.attachments, len(data))

    def _drop(self, session: _Session, why: str) -> None:
        """Close a session at once, without writing to it: a client that does not read would block the write."""
        if session.dropped:
            return
        session.dropped = True
        self._unaccepted.pop(session.sid, None)
        self._limiter.budget.release(session.attachments)
        if session.connection is not None:
            session.connection.terminate("session", why)
            return
        log_closed("session", session.address, why)
        socket = self._eio.sockets.pop(session.sid, None)
        if socket is not None:
            closing = self._start(self._close, socket)
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, socket: Any) -> None:
        await socket.close(wait=False, abort=True, reason=self._eio.reason.TRANSPORT_ERROR)
        await socket.queue.put(None)  # makes a waiting poll return

    def _start_task(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a task of the library. A session's tasks are cancelled with the session."""
        task = self._start(target, *args, **kwargs)
        session = self._sessions.get(getattr(getattr(target, "__self__", None), "sid", ""))
        if session is not None:
            session.tasks.add(task)
            task.add_done_callback(session.tasks.discard)
        return task


class _Body:
    """A complete body, with the interface that the driver reads from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, length: int = -1) -> bytes:
        return self._body


class _Early:
    """The frames of one websocket that come too early."""

    def __init__(self, transport: Transport, eio_sid: str) -> None:
        self._transport, self._eio_sid = transport, eio_sid

    def is_early(self) -> bool:
        sid = self._transport.client_of(self._eio_sid)
        return sid is not None and self._transport.is_early(sid)

    def refuse(self, payload: Any) -> bool:
        sid = self._transport.client_of(self._eio_sid)
        return sid is not None and self._transport.refuse_early(sid, payload)


async def _read_body(request: web.Request, max_bytes: int) -> bytes:
    """The complete body. Raises HTTPRequestEntityTooLarge as soon as it is known to exceed `max_bytes`."""
    length = request.content_length or 0
    body = bytearray()
    while length <= max_bytes and len(body) <= max_bytes:
        try:
            piece = await request.content.readany()
        except ConnectionError:
            raise web.HTTPRequestTimeout() from None  # the client has disconnected and never reads this
        if not piece:
            return bytes(body)
        body += piece
    raise web.HTTPRequestEntityTooLarge(
        max_size=max_bytes, actual_size=max(length, len(body)), text=f"body too large: at most {max_bytes} bytes\n"
    )
