"""Limits for a connection before it has authenticated, and for all connections together."""

from __future__ import annotations

import resource
from dataclasses import dataclass

GREETING_BYTES = 16_384
"""Longest message before CONNECT is accepted: it carries a name and a token."""
GREETING_DEFLATED_BYTES = 1024
"""The same for a compressed message, since it may inflate a thousandfold."""
READ_BYTES = 65_536
"""Size of one read from the socket. asyncio's own is four times larger; filled with the shortest frames or requests, it
blocks the event loop for tens of milliseconds."""
PIPELINED_BYTES = 262_144
"""Bytes that may arrive while the previous request is being answered."""
UNREAD_MESSAGES = 16_384
"""Websocket messages that may be queued unread: short ones use far more memory than their bytes."""
CONTROLS_AT_ONCE, CONTROLS_PER_S = 100, 5.0
"""Pings of one connection, of Engine.IO and websocket together. Clients send one every few seconds."""

_SPARE_FILES = 256
"""File descriptors for models, sensors, history and outgoing connections."""


@dataclass(frozen=True, slots=True)
class IngressLimits:
    """See `[server]` in the settings."""

    max_open: int
    """TCP connections at the same time."""
    max_per_address: int
    """TCP connections from one address; loopback is exempt."""
    max_unfinished_bytes: int
    header_timeout_s: float
    """For the headers of a request, and from the handshake to an accepted CONNECT."""
    message_timeout_s: float
    """For a complete body or websocket message."""
    idle_timeout_s: float
    """Between two requests on one connection."""
    max_message_bytes: int
    """Longest websocket message or polled body of a client whose CONNECT was accepted."""

    @property
    def stall_s(self) -> float:
        """Longest time without a new byte of an unfinished message."""
        return max(1.0, self.message_timeout_s / 4)


def raise_file_limit(connections: int) -> int:
    """Raise this process's limit of open files, up to its hard limit. Returns how many connections fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < target:
        soft = target if hard == resource.RLIM_INFINITY else min(hard, target)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else min(connections, max(16, soft - _SPARE_FILES))
