"""Socket.IO packets as clients may send them; everything else is turned away before a handler sees it.

Rules of this file:
- A client's event reaches a handler only if it is one of `EVENTS`. The library calls the lifecycle handlers (`connect`,
  `disconnect`) by the same names, so an event of that name would run them again.
- The packets of one client are handled one after another, over polling as over a websocket.
- A packet that is none closes its own connection, as Socket.IO's reference server does, and nothing else.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import engineio.json
import msgspec
from socketio import packet

EVENTS = ("process_frame", "subscribe", "unsubscribe")
"""What a client may send."""
UNKNOWN = "unknown event"
"""What every other event becomes; its first argument is the name that was sent."""
_MOST_ATTACHMENTS = 32
"""Binary parts of one event; a frame has one."""


class Json:
    """The transport's JSON, read by msgspec: a base64 frame of some megabytes does not hold up the event loop.

    What is not quite JSON (NaN, half a surrogate pair) is left to the transport's own, so that it gets a clear answer.
    """

    @staticmethod
    def loads(text: str, **options: Any) -> Any:
        try:
            return msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return engineio.json.loads(text, **options)

    dumps = staticmethod(engineio.json.dumps)


class Packet(packet.Packet):  # type: ignore[misc]  # the library has no types
    """A packet whose shape has been checked. Raises ValueError for one that is malformed."""

    most_bytes = 0
    """All attachments of one packet together: they are kept until the last one has come."""

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("binary data without an event")  # noqa: TRY004  # of the packet, not of our code
        attachments: int = super().decode(encoded_packet) or 0
        if self.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK):
            if not 1 <= attachments <= _MOST_ATTACHMENTS:
                raise ValueError(f"{attachments} attachments; an event has 1 to {_MOST_ATTACHMENTS}")
        elif attachments:
            raise ValueError("attachments of a packet that has none")
        if self.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            self._check_event()
        return attachments

    def add_attachment(self, attachment: Any) -> bool:
        if isinstance(attachment, (bytes, str)):
            self.most_bytes -= len(attachment)
        if self.most_bytes < 0:
            raise ValueError("more bytes than one event may have")
        complete: bool = super().add_attachment(attachment)
        return complete

    def _check_event(self) -> None:
        if not isinstance(self.data, list) or not self.data or not isinstance(self.data[0], str):
            raise ValueError("an event is a list that begins with its name")
        if self.data[0] not in EVENTS:
            self.data.insert(0, UNKNOWN)


def packet_class(most_bytes: int) -> type[Packet]:
    """What the server reads packets with."""
    return type("BoundedPacket", (Packet,), {"most_bytes": most_bytes})


class Turns:
    """Hands each client's messages to the server, one at a time.

    `bad` is awaited with the Engine.IO id of a client whose message is malformed, and what is wrong with it.
    """

    def __init__(self, server: Any, bad: Callable[[str, str], Awaitable[None]]) -> None:
        self._server, self._bad = server, bad
        self._handle: Callable[[str, Any], Awaitable[None]] = server.eio.handlers["message"]
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        server.eio.on("message", self.receive)

    async def receive(self, eio_sid: str, message: Any) -> None:
        """One Engine.IO message. Handlers catch their own errors, so that what is raised here is the client's fault."""
        turn = self._turns.get(eio_sid)
        if turn is None:
            turn = self._turns[eio_sid] = asyncio.Lock()
        async with turn:
            if eio_sid not in self._server.environ:
                return  # it has gone meanwhile; a CONNECT would leave a ghost
            try:
                await self._handle(eio_sid, message)
            except Exception as error:  # noqa: BLE001  # the library raises KeyError, TypeError and more for bad packets
                await self._bad(eio_sid, f"{type(error).__name__}: {error}")
