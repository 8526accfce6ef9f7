"""One connection: aiohttp's protocol, with an eye on what has arrived of a request or message and how long it takes.

Bodies are not inflated here: a request with Content-Encoding is refused (see `guard`), so nothing that a stranger sends
grows on the event loop.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any

from aiohttp import web

from appliance.web.ingress.budget import Charge
from appliance.web.ingress.door import Door, turned_away
from appliance.web.ingress.frames import FrameMeter
from appliance.web.ingress.limits import (
    CONTROLS_AT_ONCE,
    CONTROLS_PER_S,
    GREETING_BYTES,
    GREETING_DEFLATED_BYTES,
    PIPELINED_BYTES,
    READ_BYTES,
    UNREAD_MESSAGES,
)
from appliance.web.ingress.pace import Bucket

_LINGER_S = 2.0
"""After an answer that came before the body's end, what still arrives is thrown away for so long, so that the client
can read the answer. Then the connection is closed."""
_OVERHEAD_BYTES = 524_288
"""What a chunked body may be longer on the wire than twice its content: chunks of one byte cost a hundredfold. Two
reads of the socket, since the parser may hold one back."""
_SLACK_BYTES = 1_000_000
"""Beyond the longest message: up to there the websocket itself answers that it is too long."""


class Stage(enum.Enum):
    """What a connection has to do next."""

    REQUEST = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()
    """Ours to do."""
    CONNECT = enum.auto()
    """A websocket whose CONNECT has not been accepted."""
    MESSAGES = enum.auto()
    LEAVE = enum.auto()
    """It was answered before its body had come; what still comes is thrown away."""


class GuardedHandler(web.RequestHandler):
    """aiohttp's handler of a connection, under the rules of the door."""

    def __init__(self, manager: web.Server, door: Door, address: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # as AppRunner passes it on
            auto_decompress=False,
            lingering_time=_LINGER_S,
            keepalive_timeout=door.limits.idle_timeout_s,
        )
        self._door, self.address = door, address
        self.charge = Charge(close=lambda why: self.turn_away("unfinished", why))
        self.stage = Stage.REQUEST
        self.meter = FrameMeter()
        self.delivered = 0
        """Websocket messages that have been read."""
        self._controls = Bucket(CONTROLS_AT_ONCE, CONTROLS_PER_S, door.clock)
        self._since = door.clock()
        self._served = self._doomed = False
        self._content: Any = None
        door.entered(self)
        door.waits(self)

    # What aiohttp and asyncio call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BYTES
        if self._doomed and self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and self.stage in (Stage.REQUEST, Stage.BODY, Stage.ANSWER):
            if self.stage is Stage.REQUEST and not self.charge.bytes:
                self._since = self._door.clock()
            self._door.budget.grow(self.charge, len(data))
            if self.stage is Stage.ANSWER and self.charge.bytes > PIPELINED_BYTES:
                self.turn_away("pipelined", f"more than {PIPELINED_BYTES} bytes came before the answer was read")
            if not self._is_open():
                return
        super().data_received(data)
        if self.stage is not Stage.BODY:
            return
        if self._content.is_eof():
            self._answer_is_due()
        elif self.charge.bytes > 2 * getattr(self._content, "total_bytes", self.charge.bytes) + _OVERHEAD_BYTES:
            self.turn_away("shattered", "a body in chunks of a few bytes")

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
        return super().handle_error(request, status, exc, message)

    def set_parser(self, parser: Any, *more: Any, **options: Any) -> None:
        """A websocket has opened: its bytes pass the meter first."""
        self._enter(Stage.CONNECT)
        metered: Any = _Metered(parser, self)
        super().set_parser(metered, *more, **options)

    # What the application tells.

    def begin(self, request: web.BaseRequest) -> None:
        """The headers of a request are complete."""
        self._content = request.content
        if request.content.is_eof():
            self._answer_is_due()
        else:
            self.stage = Stage.BODY
            self._since = self._door.clock()
            self._door.waits(self)

    def end(self) -> None:
        """The request has its answer."""
        whole = self._content is None or self._content.is_eof()
        self._content, self._served = None, True
        self._enter(Stage.REQUEST if whole else Stage.LEAVE)

    def accept(self) -> None:
        """The client of this websocket has been accepted."""
        if self.stage is Stage.CONNECT:
            self.stage = Stage.MESSAGES
            self._door.works(self)

    def control(self, count: int = 1) -> bool:
        """Whether so many pings more are still a client's; else the connection is closed."""
        if count and self._controls.take(count):
            self.turn_away("pings", f"more than {CONTROLS_PER_S:g} pings a second")
            return False
        return True

    # What the door asks.

    def turn_away(self, kind: str, why: str) -> None:
        if self._doomed:
            return
        self._doomed = True
        turned_away(kind, self.address, why)
        self._leave()
        if self.transport is not None:
            self.transport.abort()

    def overdue(self, now: float) -> tuple[str, str] | None:
        limits = self._door.limits
        if self.stage in (Stage.REQUEST, Stage.LEAVE):
            if self._served and not self.charge.bytes:
                return ("idle", "no request on it") if now - self._since > limits.idle_timeout_s else None
            if now - self._since > limits.header_timeout_s:
                return "slow", f"no whole request within {limits.header_timeout_s:g} s (server.header_timeout_s)"
        elif self.stage is Stage.CONNECT and now - self._since > limits.header_timeout_s:
            return "slow", f"no accepted CONNECT within {limits.header_timeout_s:g} s (server.header_timeout_s)"
        elif self.stage is not Stage.ANSWER:
            return self._unfinished(now)
        return None

    def _unfinished(self, now: float) -> tuple[str, str] | None:
        limits = self._door.limits
        if self.transport is None or not self.transport.is_reading():  # it is us who keep it waiting
            self._since = self.charge.since_s = self.charge.progress_s = now
            return None
        if self.stage is Stage.BODY and not self.charge.bytes:
            begun = progress = self._since
        elif self.charge.bytes:
            begun, progress = self.charge.since_s, self.charge.progress_s
        else:
            return None
        if now - begun > limits.message_timeout_s:
            return "slow", f"no whole message within {limits.message_timeout_s:g} s (server.message_timeout_s)"
        if now - progress > limits.stall_s:
            return (
                "stalled",
                f"an unfinished message stood still for {limits.stall_s:g} s (server.message_timeout_s / 4)",
            )
        return None

    def websocket_bytes(self, data: bytes) -> bool:
        """Count them; False if the connection is closed for what they are."""
        meter, budget = self.meter, self._door.budget
        controls, before = meter.controls, meter.messages
        meter.feed(data)
        if meter.messages != before:
            budget.release(self.charge)
        if meter.unfinished > self.charge.bytes:
            budget.grow(self.charge, meter.unfinished - self.charge.bytes)
        if self.stage is Stage.CONNECT:
            longest = GREETING_DEFLATED_BYTES if meter.compressed else GREETING_BYTES
        else:
            longest = self._door.limits.max_message_bytes + _SLACK_BYTES
        if meter.longest > longest:
            self.turn_away("long", f"a message of more than {longest} bytes"
                           + (" before CONNECT was accepted" if self.stage is Stage.CONNECT else ""))  # fmt: skip
        elif meter.shattered:
            self.turn_away("shattered", "a message in fragments of a few bytes")
        elif meter.messages - self.delivered > UNREAD_MESSAGES:
            self.turn_away("flood", f"more than {UNREAD_MESSAGES} unread messages")
        elif self.control(meter.controls - controls):
            return self._is_open()
        return False

    def _is_open(self) -> bool:
        return not self._doomed and self.transport is not None and not self.transport.is_closing()

    def _answer_is_due(self) -> None:
        self.stage = Stage.ANSWER
        self._door.budget.release(self.charge)
        self._door.works(self)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self._since = self._door.clock()
        self._door.budget.release(self.charge)
        self._door.waits(self)

    def _leave(self) -> None:
        self._door.budget.release(self.charge)
        self._door.left(self)


class _Metered:
    """The websocket's parser behind the meter."""

    def __init__(self, parser: Any, connection: GuardedHandler) -> None:
        self._parser, self._connection = parser, connection

    def feed_data(self, data: bytes) -> Any:
        if not self._connection.websocket_bytes(data):
            return True, b""
        return self._parser.feed_data(data)

    def feed_eof(self) -> None:
        self._parser.feed_eof()


def handlers(runner: web.AppRunner, door: Door) -> Callable[[str], GuardedHandler]:
    """Makes the handler of a connection from an address, for an application that has been set up."""
    manager = runner.server
    assert manager is not None
    return lambda address: GuardedHandler(manager, door, address, asyncio.get_running_loop())
