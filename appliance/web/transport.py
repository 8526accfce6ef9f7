"""The transport under Socket.IO: Engine.IO's aiohttp driver with what it lacks.

Rules of this file:
- A polled body is read whole. The driver of python-engineio reads `request.content` once, which returns what has
  arrived so far, and takes that for all of it (docs/decisions/0010-polled-bodies.md).
- Until CONNECT has been accepted, messages are short, and a session has a few seconds.
- Only `eio._async` is a private name of the library; tests/web/test_transport_driver.py notices when it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import engineio.payload
from aiohttp import WSMsgType, web

from appliance.web.ingress.budget import Charge
from appliance.web.ingress.door import Door, turned_away
from appliance.web.ingress.handler import GuardedHandler
from appliance.web.ingress.limits import CONTROLS_AT_ONCE, CONTROLS_PER_S, GREETING_BYTES
from appliance.web.ingress.pace import Bucket

log = logging.getLogger(__name__)

_MOST_UNACCEPTED = 1000
"""Sessions without an accepted CONNECT; the oldest give way. Each takes about 5 kB."""
_PACKETS_A_BODY = 128
"""A polling client sends all that it has waiting in one body; the library's 16 are eight frames with attachment."""
_MESSAGES_AT_ONCE, _MESSAGES_PER_S = 2000, 1000.0
"""Read from one client; beyond that it waits. A camera sends two a frame."""
_MESSAGE = "4"
"""Begins Engine.IO's packets that carry something; all others are pings and the like."""


@dataclass(eq=False)
class _Session:
    """One Engine.IO session."""

    sid: str
    since_s: float
    address: str
    controls: Bucket
    connection: GuardedHandler | None
    attachments: Charge
    accepted: bool = False
    dropped: bool = False
    awaited: int = 0
    """Attachments that are still to come for the event that has been announced."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """Its pings: each sleeps for `ping_interval_s` and holds the session in memory for as long."""


class Transport:
    """Takes the place of the driver in a Socket.IO server. `sweep` is to be called once a second."""

    def __init__(self, server: Any, door: Door) -> None:
        self._server, self._eio, self._door = server, server.eio, door
        self._sessions: dict[str, _Session] = {}
        self._unaccepted: dict[str, _Session] = {}
        """Oldest first."""
        self._endings: set[asyncio.Task[None]] = set()
        engineio.payload.Payload.max_decode_packets = _PACKETS_A_BODY
        driver = self._eio._async
        self._translate = driver["translate_request"]
        self._eio._async = {**driver, "translate_request": self._read, "websocket": self._websocket}
        self._start = self._eio.start_background_task
        self._eio.start_background_task = self._start_task
        handlers = self._eio.handlers
        self._connected, self._message = handlers["connect"], handlers["message"]
        self._disconnected = handlers["disconnect"]
        self._eio.on("connect", self._on_connect)
        self._eio.on("message", self._on_message)
        self._eio.on("disconnect", self._on_disconnect)

    def sweep(self, now: float) -> None:
        """Drop sessions that came and did not CONNECT, or that owe an attachment for too long."""
        limits = self._door.limits
        for session in list(self._unaccepted.values()):
            if now - session.since_s <= limits.header_timeout_s:
                break
            self._drop(session, f"no accepted CONNECT within {limits.header_timeout_s:g} s (server.header_timeout_s)")
        for session in list(self._sessions.values()):
            if session.attachments.bytes and now - session.attachments.since_s > limits.message_timeout_s:
                self._drop(session, "the attachments of an event did not come")

    # The driver's two doors.

    async def _read(self, request: web.Request) -> dict[str, Any]:
        """Engine.IO's `environ`, with the whole body of a POST in it."""
        environ: dict[str, Any] = self._translate(request)
        if request.method != "POST":
            return environ
        session = self._sessions.get(request.query.get("sid", ""))
        body = b""
        if session is not None:  # else it is refused, and its body stays unread
            limits = self._door.limits
            body = await _whole(request, limits.max_message_bytes if session.accepted else GREETING_BYTES)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = _Body(body), str(len(body))
        return environ

    def _websocket(self, handler: Callable[[Any], Awaitable[None]], server: Any) -> _WebSocket:
        return _WebSocket(handler, self)

    def upgraded(self, connection: GuardedHandler, sid: str | None) -> None:
        """A websocket has opened for a session that began by polling."""
        session = self._sessions.get(sid or "")
        if session is not None:
            session.connection = connection
            if session.accepted:
                connection.accept()

    @property
    def max_message_bytes(self) -> int:
        return self._door.limits.max_message_bytes

    def pace(self) -> Bucket:
        return Bucket(_MESSAGES_AT_ONCE, _MESSAGES_PER_S, self._door.clock)

    # What Engine.IO tells Socket.IO.

    async def _on_connect(self, sid: str, environ: Mapping[str, Any]) -> Any:
        request: web.Request = environ["aiohttp.request"]
        protocol = request.protocol
        connection = protocol if isinstance(protocol, GuardedHandler) else None
        session = _Session(
            sid,
            self._door.clock(),
            connection.address if connection else "",
            Bucket(CONTROLS_AT_ONCE, CONTROLS_PER_S, self._door.clock),
            connection if request.query.get("transport") == "websocket" else None,
            Charge(close=lambda why: self._drop(session, why)),
        )
        self._sessions[sid] = self._unaccepted[sid] = session
        while len(self._unaccepted) > _MOST_UNACCEPTED:
            self._drop(next(iter(self._unaccepted.values())), "newer sessions need its place, and it sent no CONNECT")
        return await self._connected(sid, environ)

    async def _on_message(self, sid: str, data: str | bytes) -> None:
        session = self._sessions.get(sid)
        if session is None or session.dropped:
            return
        if not session.accepted and session.controls.take():
            self._drop(session, "it sent much, but no CONNECT that was accepted")
            return
        self._count_attachments(session, data)
        if session.dropped:
            return
        try:
            await self._message(sid, data)
        except Exception:
            session.awaited = 0
            self._door.budget.release(session.attachments)
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
            self._door.budget.release(session.attachments)
            for task in session.tasks - {asyncio.current_task()}:
                task.cancel()
        await self._disconnected(sid, reason)

    def _count_attachments(self, session: _Session, data: str | bytes) -> None:
        """Socket.IO keeps an event until its attachments have come, so they are unfinished messages like others."""
        if isinstance(data, str):
            count, dash, _ = data[1:12].partition("-")
            session.awaited = int(count) if data[:1] in "56" and dash and count.isdecimal() else 0
        else:
            session.awaited = max(0, session.awaited - 1)
        if isinstance(data, str) or not session.awaited:
            self._door.budget.release(session.attachments)
        else:
            self._door.budget.grow(session.attachments, len(data))

    def _drop(self, session: _Session, why: str) -> None:
        """End a session at once. Nothing is written to it: whoever does not read would keep us waiting."""
        if session.dropped:
            return
        session.dropped = True
        self._unaccepted.pop(session.sid, None)
        self._door.budget.release(session.attachments)
        if session.connection is not None:
            session.connection.turn_away("session", why)
            return
        turned_away("session", session.address, why)
        socket = self._eio.sockets.pop(session.sid, None)
        if socket is not None:
            ending = self._start(self._end, socket)
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _end(self, socket: Any) -> None:
        await socket.close(wait=False, abort=True, reason=self._eio.reason.TRANSPORT_ERROR)
        await socket.queue.put(None)  # so that a waiting poll returns

    def _start_task(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a task of the library's; those of a session end with it."""
        task = self._start(target, *args, **kwargs)
        session = self._sessions.get(getattr(getattr(target, "__self__", None), "sid", ""))
        if session is not None:
            session.tasks.add(task)
            task.add_done_callback(session.tasks.discard)
        return task


class _Body:
    """What the driver reads a body from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, length: int = -1) -> bytes:
        return self._body


class _WebSocket:
    """Engine.IO's view of a websocket, as its aiohttp driver defines it."""

    def __init__(self, handler: Callable[[Any], Awaitable[None]], transport: Transport) -> None:
        self._handler, self._transport = handler, transport
        self._pace, self._controls = transport.pace(), 0
        self._socket = web.WebSocketResponse(max_msg_size=transport.max_message_bytes, autoping=False)
        self._connection: GuardedHandler | None = None

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        self.environ = environ
        await self._socket.prepare(request)
        if isinstance(request.protocol, GuardedHandler):
            self._connection = request.protocol
            self._transport.upgraded(request.protocol, request.query.get("sid"))
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
        """The next message; pings are answered meanwhile, and more than a client's are its end. Raises OSError."""
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
            self._connection.delivered += 1
            if isinstance(data, str) and not data.startswith(_MESSAGE) and not self._connection.control():
                raise OSError("too many pings")
        wait_s = self._pace.take()
        if wait_s:
            await asyncio.sleep(wait_s)
        return data


async def _whole(request: web.Request, most: int) -> bytes:
    """The whole body. Raises HTTPRequestEntityTooLarge as soon as it is known to be longer than `most` bytes."""
    length = request.content_length or 0
    body = bytearray()
    while length <= most and len(body) <= most:
        try:
            piece = await request.content.readany()
        except ConnectionError:
            raise web.HTTPRequestTimeout() from None  # nobody reads it: the client has gone
        if not piece:
            return bytes(body)
        body += piece
    raise web.HTTPRequestEntityTooLarge(
        max_size=most, actual_size=max(length, len(body)), text=f"at most {most} bytes are accepted here\n"
    )
