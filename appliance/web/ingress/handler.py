"""One TCP connection: aiohttp's request handler, with limits for the size and duration of requests and messages.

Bodies are not decompressed: a request with Content-Encoding is refused (see `guard`), so unauthenticated data never
inflates on the event loop.

More than 300 lines: each deadline and each bound depends on the stage of the connection, which every callback may
change.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any

from aiohttp import web

from appliance.token_bucket import TokenBucket
from appliance.web.ingress.budget import Usage
from appliance.web.ingress.frames import FrameMeter
from appliance.web.ingress.limiter import ConnectionLimiter, log_closed
from appliance.web.ingress.limits import (
    CONTROLS_AT_ONCE,
    CONTROLS_PER_S,
    GREETING_BYTES,
    GREETING_DEFLATED_BYTES,
    LEAST_REQUEST_WORK,
    PIPELINED_BYTES,
    REQUEST_WORK,
    UNREAD_MESSAGES,
    WORK_PER_LOOP_S,
)
from appliance.web.ingress.read_control import READ_BYTES, SHORT_READ_BYTES, ReadControl

SERVER = "appliance"
"""The header of this name. By itself aiohttp says which versions of Python and of aiohttp the device has."""
_LINGER_S = 2.0
"""If the response is sent before the body has arrived, the rest is discarded for this time, so that the client can read
the response. Then the connection is closed."""
_OVERHEAD_BYTES = 4 * SHORT_READ_BYTES
"""How much a chunked body may exceed twice its content on the wire: chunks of one byte cost a hundredfold. A few
reads of the socket, since the parser may hold one back."""
_SLACK_BYTES = 1_000_000
"""Above the longest message: up to this size the websocket itself reports that a message is too long."""

_NO_VIOLATION = ("crowded", "idle", "slow", "stalled")
"""Reasons for closing a connection that a client with a bad network may give."""


class Stage(enum.Enum):
    """What the connection is waiting for."""

    REQUEST = enum.auto()
    BODY = enum.auto()
    RESPONSE = enum.auto()
    """Of this service."""
    CONNECT = enum.auto()
    """A websocket whose CONNECT has not been accepted."""
    MESSAGES = enum.auto()
    LINGER = enum.auto()
    """The response was sent before the body had arrived; the rest of the body is discarded."""


class GuardedHandler(web.RequestHandler):
    """aiohttp's handler of one connection, under the rules of the connection limiter."""

    def __init__(
        self,
        manager: web.Server,
        limiter: ConnectionLimiter,
        address: str,
        loop: asyncio.AbstractEventLoop,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # as AppRunner passes it on
            auto_decompress=False,
            lingering_time=_LINGER_S,
            keepalive_timeout=limiter.limits.idle_timeout_s,
        )
        self._limiter, self.address, self._give_up = limiter, address, give_up
        self.usage = Usage(close=lambda why: self.terminate("unfinished", why))
        self.stage = Stage.REQUEST
        self.meter = FrameMeter()
        self._answering_s = 0.0
        """Processor time of the event loop that answering the present request has taken."""
        self.delivered = 0
        """Websocket messages that the application has read."""
        self._reads = ReadControl(loop, lambda: self._reading_paused or bool(getattr(self, "_buffer_paused", False)))
        self._controls = TokenBucket(CONTROLS_AT_ONCE, CONTROLS_PER_S, limiter.clock)
        self._since = limiter.clock()
        self._unsent = 0
        """Bytes of responses that the client had not read yet at the last look."""
        self._served = self._terminated = False
        self._content: Any = None
        limiter.add(self)
        limiter.mark_waiting(self)

    # Called by aiohttp and asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._reads.attach(self.transport)
        if self._terminated and self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._reads.detach()
        self._forget()
        super().connection_lost(exc)
        self._drop_references()

    def resume_reading(self, *arguments: Any, **options: Any) -> None:
        super().resume_reading(*arguments, **options)
        self._reads.keep()

    def data_received(self, data: bytes) -> None:
        if data and self.stage in (Stage.REQUEST, Stage.BODY, Stage.RESPONSE):
            if self.stage is Stage.REQUEST and not self.usage.bytes:
                self._since = self._limiter.clock()
            self._grow(len(data))
            if self.stage is Stage.RESPONSE and self.usage.bytes > PIPELINED_BYTES:
                self.terminate("pipelined", f"more than {PIPELINED_BYTES} bytes arrived before the response was sent")
            if not self._is_open():
                return
        super().data_received(data)
        if self.stage is Stage.LINGER:
            self._reads.hold(self._limiter.discarded.take(len(data)))
        if self.stage is not Stage.BODY:
            return
        if self._content.is_eof():
            self._await_response()
        elif self.usage.bytes > 2 * getattr(self._content, "total_bytes", self.usage.bytes) + _OVERHEAD_BYTES:
            self.terminate("shattered", "a body in chunks of a few bytes each")

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp quotes an Expect header that it does not know, and fails where that is not UTF-8."""
        if isinstance(exc, UnicodeEncodeError):
            status, message = 400, "the headers must be UTF-8"
        response = super().handle_error(request, status, exc, message)
        response.headers["Server"] = SERVER
        return response

    def set_parser(self, parser: Any, *more: Any, **options: Any) -> None:
        """A websocket has opened: meter its bytes before the parser reads them."""
        self._enter(Stage.CONNECT)
        metered: Any = _Metered(parser, self)
        super().set_parser(metered, *more, **options)

    # Called by the application.

    def begin(self, request: web.BaseRequest) -> None:
        """The headers of a request are complete."""
        self._content, self._answering_s = request.content, 0.0
        if request.content.is_eof():
            self._await_response()
        else:
            self.stage = Stage.BODY
            self._since = self._limiter.clock()
            self._limiter.mark_waiting(self)
            self._reads.expect(READ_BYTES if request.content_length else 0)  # chunks may be short

    def end(self) -> None:
        """The response to the request is complete."""
        complete = self._content is None or self._content.is_eof()
        self.work(LEAST_REQUEST_WORK + WORK_PER_LOOP_S * self._answering_s - REQUEST_WORK)
        self._content, self._served = None, True
        self._enter(Stage.REQUEST if complete else Stage.LINGER)
        if not complete:
            self._reads.expect(READ_BYTES)

    def accept(self) -> None:
        """The client of this websocket has been accepted."""
        if self.stage is Stage.CONNECT:
            self.stage = Stage.MESSAGES
            self._limiter.mark_active(self)

    def refuse(self) -> None:
        """The client of this websocket, or of this poll, has been refused."""
        self._limiter.peers.refused(self.address)

    def message_read(self) -> None:
        """The application has read one websocket message."""
        self.delivered += 1
        if self.meter.messages - self.delivered <= UNREAD_MESSAGES // 2:
            self._reads.set_full(False)

    def work(self, amount: float) -> float:
        """Count work that this connection causes; returns the seconds to wait before doing it.

        `amount`: see `limits.WORK_PER_LOOP_S`; negative if it was less than counted before.
        """
        peer = self._limiter.peers.get(self.address)
        return peer.work.take(amount) if peer is not None else 0.0

    def took(self, seconds: float) -> None:
        """Add up the processor time of the event loop for the present request. A websocket's messages are counted one
        by one.
        """
        if self.stage in (Stage.BODY, Stage.RESPONSE):
            self._answering_s += seconds

    def control(self, count: int = 1) -> bool:
        """Count pings. False: there were too many, and the connection has been closed."""
        if count and self._controls.take(count):
            self.terminate("pings", f"more than {CONTROLS_PER_S:g} pings a second")
            return False
        return True

    # Called by the service and by the connection limiter.

    def hold(self, wait_s: float) -> None:
        """Read nothing for this time."""
        self._reads.hold(wait_s)

    def terminate(self, kind: str, why: str) -> None:
        if self._terminated:
            return
        self._terminated = True
        peer = self._limiter.peers.get(self.address) if kind not in _NO_VIOLATION else None
        if peer is not None:
            peer.penalize()
        log_closed(kind, self.address, why)
        self._forget()
        if self.transport is not None:
            self.transport.abort()
        else:  # still in its TLS handshake
            self._give_up()

    def overdue(self, now: float) -> tuple[str, str] | None:
        limits = self._limiter.limits
        if self.stage in (Stage.REQUEST, Stage.LINGER):
            if self._served and not self.usage.bytes:
                unsent = self.transport.get_write_buffer_size() if self.transport is not None else 0
                if unsent != self._unsent:  # it is not idle: it reads the response
                    self._unsent, self._since = unsent, now
                why = f"idle for {limits.idle_timeout_s:g} s (server.idle_timeout_s)"
                return ("idle", why) if now - self._since > limits.idle_timeout_s else None
            if now - self._since > limits.header_timeout_s:
                return "slow", f"no complete request within {limits.header_timeout_s:g} s (server.header_timeout_s)"
        elif self.stage is Stage.CONNECT and now - self._since > limits.header_timeout_s:
            return "slow", f"no accepted CONNECT within {limits.header_timeout_s:g} s (server.header_timeout_s)"
        elif self.stage is not Stage.RESPONSE:
            return self._unfinished(now)
        return None

    def _unfinished(self, now: float) -> tuple[str, str] | None:
        limits = self._limiter.limits
        if self.transport is None or not self.transport.is_reading():  # the service itself has paused it
            self._since = now
            self.usage.restart(now)
            return None
        if self.stage is Stage.BODY and not self.usage.bytes:
            started = progress = self._since
        elif self.usage.bytes:
            started, progress = self.usage.since_s, self.usage.progress_s
        else:
            return None
        if now - started > limits.message_timeout_s:
            return "slow", f"no complete message within {limits.message_timeout_s:g} s (server.message_timeout_s)"
        if now - progress > limits.stall_s:
            return (
                "stalled",
                f"no data of an unfinished message for {limits.stall_s:g} s (server.message_timeout_s / 4)",
            )
        return None

    def websocket_bytes(self, data: bytes) -> bool:
        """Count received bytes. False: they exceed a limit, and the connection has been closed."""
        meter, budget = self.meter, self._limiter.budget
        controls, before = meter.controls, meter.messages
        meter.feed(data)
        if meter.messages != before:
            budget.release(self.usage)
        if meter.unfinished > self.usage.bytes:
            self._grow(meter.unfinished - self.usage.bytes)
        self._reads.expect(meter.frame_left)
        if self.stage is Stage.CONNECT:
            longest = GREETING_DEFLATED_BYTES if meter.compressed else GREETING_BYTES
        else:
            longest = self._limiter.limits.max_message_bytes + _SLACK_BYTES
        if meter.longest > longest:
            self.terminate("long", f"a message of more than {longest} bytes"
                           + (" before CONNECT was accepted" if self.stage is Stage.CONNECT else ""))  # fmt: skip
        elif meter.fragmented:
            self.terminate("shattered", "a message in fragments of a few bytes each")
        elif self.control(meter.controls - controls):
            if meter.messages - self.delivered > UNREAD_MESSAGES:
                self._reads.set_full(True)
            return self._is_open()
        return False

    def _is_open(self) -> bool:
        return not self._terminated and self.transport is not None and not self.transport.is_closing()

    def _grow(self, size: int) -> None:
        budget = self._limiter.budget
        budget.grow(self.usage, size)
        self._reads.hold(budget.wait_s(self.usage, size))

    def _await_response(self) -> None:
        self.stage = Stage.RESPONSE
        self._reads.expect(0)
        self._limiter.budget.release(self.usage)
        self._limiter.mark_active(self)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self._since = self._limiter.clock()
        self._reads.expect(0)
        self._limiter.budget.release(self.usage)
        self._limiter.mark_waiting(self)

    def _drop_references(self) -> None:
        """Leave nothing to the garbage collector, which stops all threads: unread requests are thousands of objects."""
        self._messages.clear()
        self.usage.close = _nothing
        self._give_up = _nothing

    def _forget(self) -> None:
        self._limiter.budget.release(self.usage)
        self._limiter.remove(self)


def _nothing(*_: object) -> None:
    """In place of a callback of a connection that has closed."""


class _Metered:
    """The websocket's parser, behind the frame meter."""

    def __init__(self, parser: Any, connection: GuardedHandler) -> None:
        self._parser, self._connection = parser, connection

    def feed_data(self, data: bytes) -> Any:
        if not self._connection.websocket_bytes(data):
            return True, b""
        return self._parser.feed_data(data)

    def feed_eof(self) -> None:
        self._parser.feed_eof()


def handlers(runner: web.AppRunner, limiter: ConnectionLimiter) -> Callable[[str, Callable[[], None]], GuardedHandler]:
    """A factory for connection handlers by client address. The runner must have been set up.

    Its second argument gives up a connection that is not made yet.
    """
    manager = runner.server
    assert manager is not None
    loop = asyncio.get_running_loop()
    return lambda address, give_up: GuardedHandler(manager, limiter, address, loop, give_up)
