"""Limits for a connection before it has authenticated, and for all connections together."""

from __future__ import annotations

import re
import resource
from dataclasses import dataclass

GREETING_BYTES = 16_384
"""Longest message before CONNECT is accepted: it carries a name and a token."""
GREETING_DEFLATED_BYTES = 1024
"""The same for a compressed message, since it may inflate a thousandfold."""
PIPELINED_BYTES = 262_144
"""Bytes that may arrive while the previous request is being answered."""
UNREAD_MESSAGES = 64
"""Websocket messages that may be queued unread; then the connection is not read until half of them are handled."""
CONTROLS_AT_ONCE, CONTROLS_PER_S = 100, 5.0
"""Pings of one connection, of Engine.IO and websocket together. Clients send one every few seconds."""
DISCARDED_AT_ONCE, DISCARDED_PER_S = 32_000_000, 8_000_000.0
"""Bytes of refused bodies that are read and discarded, of all connections together: a few large uploads at full speed,
a flood of them slowly."""

WORK_PER_LOOP_S = 20_000
"""Work is counted in units of 50 microseconds of the event loop's processor time."""
REQUEST_WORK, LEAST_REQUEST_WORK = 30, 10
"""Work of an HTTP request: until it is answered, as one of the dearer ones takes; then at least this, to read and parse
it, and what answering it took."""
_MESSAGE_WORK, _SMALL_MESSAGE_WORK = 4, 16
_SMALLEST_FRAME_BYTES = 100
_ANNOUNCES_FRAME = re.compile(r'45\d+-\d*\["process_frame"')

_SPARE_FILES = 256
"""File descriptors for models, sensors, history and outgoing connections."""


@dataclass(frozen=True, slots=True)
class IngressLimits:
    """See `[server]` in the settings."""

    max_open: int
    """TCP connections at the same time."""
    max_per_address: int
    """TCP connections from one address; 127.0.0.1 and ::1 are exempt."""
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


def message_work(data: str | bytes) -> int:
    """Work of an Engine.IO message. Cameras send frames and little else, so everything else counts more."""
    if len(data) >= _SMALLEST_FRAME_BYTES or (isinstance(data, str) and _ANNOUNCES_FRAME.match(data)):
        return _MESSAGE_WORK
    return _SMALL_MESSAGE_WORK


def raise_file_limit(connections: int) -> int:
    """Raise this process's limit of open files, up to its hard limit. Returns how many connections fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < target:
        soft = target if hard == resource.RLIM_INFINITY else min(hard, target)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else min(connections, max(16, soft - _SPARE_FILES))
