"""Validation of Socket.IO packets: malformed ones never reach a handler.

Rules of this file:
- An event reaches its handler only if it is one of `EVENTS`. The library dispatches the lifecycle handlers (`connect`,
  `disconnect`) by name as well, so an event of that name would run them again.
- The packets of one client are handled one after another, over polling as over a websocket.
- A malformed packet closes the connection it came from, as Socket.IO's reference server does, and affects no other.
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
"""The events that clients may send."""
UNKNOWN = "unknown event"
"""The name that every other event gets; its first argument is the original name."""
_MAX_ATTACHMENTS = 32
"""Binary attachments of one event; a frame has one."""
_MAX_COMMAS = 4096
"""In the text of a packet, which bounds the values in it: a base64 frame is long, but it is one value. Creating the
values of a long list, and looking for attachments in them, takes the event loop tenths of a second."""


class Json:
    """JSON decoding with msgspec, so that a base64 frame of several megabytes does not block the event loop.

    Text that is not strict JSON (NaN, an unpaired surrogate) goes to the library's own decoder, so that the client gets
    a clear error.
    """

    @staticmethod
    def loads(text: str, **options: Any) -> Any:
        try:
            return msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return engineio.json.loads(text, **options)

    dumps = staticmethod(engineio.json.dumps)


class Packet(packet.Packet):  # type: ignore[misc]  # the library has no types
    """A packet with a validated structure. Raises ValueError if it is malformed."""

    max_bytes = 0
    """Total size of the attachments of one packet: they are kept in memory until the last one has arrived."""

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("binary data without an event")  # noqa: TRY004  # an error of the packet, not of our code
        if encoded_packet.count(",") > _MAX_COMMAS:
            raise ValueError(f"more than {_MAX_COMMAS} values in one packet")
        attachments: int = super().decode(encoded_packet) or 0
        if self.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK):
            if not 1 <= attachments <= _MAX_ATTACHMENTS:
                raise ValueError(f"{attachments} attachments; an event has 1 to {_MAX_ATTACHMENTS}")
        elif attachments:
            raise ValueError("a packet of this type has no attachments")
        if self.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            self._check_event()
        return attachments

    def add_attachment(self, attachment: Any) -> bool:
        if isinstance(attachment, (bytes, str)):
            self.max_bytes -= len(attachment)
        if self.max_bytes < 0:
            raise ValueError("the attachments of the event are too large")
        complete: bool = super().add_attachment(attachment)
        return complete

    def _check_event(self) -> None:
        if not isinstance(self.data, list) or not self.data or not isinstance(self.data[0], str):
            raise ValueError("an event must be a list that starts with its name")
        if self.data[0] not in EVENTS:
            self.data.insert(0, UNKNOWN)


def packet_class(max_bytes: int) -> type[Packet]:
    """The packet class for a server, with this limit for the attachments of one packet."""
    return type("BoundedPacket", (Packet,), {"max_bytes": max_bytes})


class SequentialDispatcher:
    """Passes each client's messages to the server one at a time.

    `on_malformed` is awaited with the Engine.IO id of a client that sent a malformed message, and the error.
    """

    def __init__(self, server: Any, on_malformed: Callable[[str, str], Awaitable[None]]) -> None:
        self._server, self._on_malformed = server, on_malformed
        self._handle: Callable[[str, Any], Awaitable[None]] = server.eio.handlers["message"]
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        server.eio.on("message", self.receive)

    async def receive(self, eio_sid: str, message: Any) -> None:
        """Handle one Engine.IO message. Handlers catch their own errors, so an error raised here is the client's."""
        lock = self._locks.get(eio_sid)
        if lock is None:
            lock = self._locks[eio_sid] = asyncio.Lock()
        async with lock:
            if eio_sid not in self._server.environ:
                return  # it disconnected in the meantime; handling a CONNECT would leave a stale client
            try:
                await self._handle(eio_sid, message)
            except Exception as error:  # noqa: BLE001  # the library raises KeyError, TypeError and more for bad packets
                await self._on_malformed(eio_sid, f"{type(error).__name__}: {error}")
