"""Connections and websocket frames for tests of the ingress limits."""

from __future__ import annotations

import struct
from contextlib import AbstractAsyncContextManager

from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.ingress.limits import IngressLimits
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, deflated: bool = False, length: int = -1) -> bytes:
    """A frame as clients send it. `length`: the length in its header, if it differs from the payload's."""
    size = len(payload) if length < 0 else length
    first = opcode | (0x80 if fin else 0) | (0x40 if deflated else 0)
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + payload


LIMITS = IngressLimits(
    max_open=4,
    max_per_address=2,
    max_unfinished_bytes=1000,
    header_timeout_s=10,
    message_timeout_s=60,
    idle_timeout_s=75,
    max_message_bytes=500,
)


class Peer:
    """A connection that records why it was closed."""

    def __init__(self, limiter: ConnectionLimiter, address: str) -> None:
        self.address, self.closed = address, ""
        limiter.add(self)
        limiter.mark_waiting(self)

    def terminate(self, kind: str, why: str) -> None:
        self.closed = kind

    def overdue(self, now: float) -> tuple[str, str] | None:
        return None


def ready(serve: Serve, **flags: str) -> AbstractAsyncContextManager[Running]:
    """A ready service whose engine detects a stop sign in every picture."""
    return serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags)
