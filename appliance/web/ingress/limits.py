"""What one connection may take before it has shown who it is, and what all of them may take together."""

from __future__ import annotations

import resource
from dataclasses import dataclass

GREETING_BYTES = 16_384
"""Longest message before CONNECT has been accepted: it carries a name and a token."""
GREETING_DEFLATED_BYTES = 1024
"""The same where it is compressed, since it may inflate a thousandfold."""
READ_BYTES = 65_536
"""One read of the socket. asyncio's own is four times as long, and holds up the event loop for tens of milliseconds
when it is full of the shortest frames or requests."""
PIPELINED_BYTES = 262_144
"""What may arrive while the request before it is being answered."""
UNREAD_MESSAGES = 16_384
"""Websocket messages that may lie unread: short ones cost far more memory than their bytes."""
CONTROLS_AT_ONCE, CONTROLS_PER_S = 100, 5.0
"""Pings of one connection, of either protocol. Clients send one in some seconds."""

_SPARE_FILES = 256
"""For models, sensors, history and links."""


@dataclass(frozen=True, slots=True)
class IngressLimits:
    """See `[server]` in the settings."""

    max_open: int
    """TCP connections at once."""
    max_per_address: int
    """Of them from one address; loopback is not counted."""
    max_unfinished_bytes: int
    header_timeout_s: float
    """For a request's headers, and from a handshake to an accepted CONNECT."""
    message_timeout_s: float
    """For a whole body or websocket message."""
    idle_timeout_s: float
    """Between two requests on one connection."""
    max_message_bytes: int
    """Longest websocket message or polled body of a client whose CONNECT was accepted."""

    @property
    def stall_s(self) -> float:
        """Without a single byte of an unfinished message."""
        return max(1.0, self.message_timeout_s / 4)


def raise_file_limit(wanted: int) -> int:
    """Let this process open more files, up to its hard limit; how many connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < target:
        soft = target if hard == resource.RLIM_INFINITY else min(hard, target)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(16, soft - _SPARE_FILES))
