"""The Socket.IO server: its options, and how the publisher sends through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import socketio
from socketio import packet

from appliance.web.packets import Json, packet_class
from appliance.web.payloads import AnyPayload

TRANSPORT_FACTOR = 3
"""The transport accepts messages this many times larger than the largest frame. A frame that is slightly too large
(base64 adds a third) then gets an error instead of a closed connection. The transport closes the connection of a client
that sends more, because it must not buffer it."""

_COOKIE = {"name": "io", "path": "/socket.io/", "HttpOnly": True, "SameSite": "Strict"}
"""Read by the front only; a session is named in the URL."""


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """Options of the transport; see `[server]` in the settings."""

    ping_interval_s: float
    ping_timeout_s: float
    max_frame_bytes: int
    compression: bool
    compression_min_bytes: int
    names_sessions: bool = False
    """Answer the first request of a client with its session in a cookie, for the front of a site."""


def make_server(options: SocketOptions) -> Any:
    """The Socket.IO server, without event handlers."""
    return socketio.AsyncServer(
        async_mode="aiohttp",
        async_handlers=False,
        serializer=packet_class(options.max_frame_bytes * TRANSPORT_FACTOR),
        json=Json,
        cors_allowed_origins="*",  # `origins` has checked the origin before
        cookie=_COOKIE if options.names_sessions else None,
        cors_credentials=False,  # tokens are sent in `auth`, never in cookies
        ping_interval=options.ping_interval_s,
        ping_timeout=options.ping_timeout_s,
        max_http_buffer_size=options.max_frame_bytes * TRANSPORT_FACTOR,
        http_compression=options.compression,
        compression_threshold=options.compression_min_bytes,
    )


def delivery_through(server: Any) -> tuple[Any, Any]:
    """The functions that the publisher sends with: (emit, backlog).

    Payloads are text. The library's own `emit` looks for bytes in each, and starts a task for each client.
    """

    async def emit(event: str, payload: AnyPayload, sid: str) -> None:
        session = server.manager.eio_sid_from_sid(sid, "/")
        if session is None:
            return  # it has disconnected
        event_packet = server.packet_class(packet.EVENT, data=[event, payload], binary=False)
        await server.eio.send(session, event_packet.encode())

    def backlog(sid: str) -> int:
        connection = server.eio.sockets.get(server.manager.eio_sid_from_sid(sid, "/"))
        return connection.queue.qsize() if connection is not None else 0

    return emit, backlog
