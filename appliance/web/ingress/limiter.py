"""The connection limiter: counts TCP connections, closes those that stall, and makes room at the limit.

Rules of this file:
- At the limit, the connection that has waited longest without a complete request is closed, and the new one is
  admitted: a camera identifies itself at once, a flood of idle connections never does.
- A new connection is refused only if all others are active.
- Limits per address are in `peers`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from appliance import heap
from appliance.ports import Clock
from appliance.token_bucket import TokenBucket
from appliance.web.clients import plain_address
from appliance.web.ingress.budget import Budget
from appliance.web.ingress.limits import DISCARDED_AT_ONCE, DISCARDED_PER_S, IngressLimits
from appliance.web.ingress.peers import Peers

log = logging.getLogger(__name__)

_SWEEP_S = 1.0
_CLOSED_IN_A_ROW = 32
"""Connections closed before the event loop gets control: closing thousands takes a second."""


class Connection(Protocol):
    """What the limiter needs from a connection."""

    address: str

    def terminate(self, kind: str, why: str) -> None:
        """Close it at once."""

    def overdue(self, now: float) -> tuple[str, str] | None:
        """The kind of timeout it has exceeded and the reason for closing it, or None."""


class ConnectionLimiter:
    """All TCP connections of the port."""

    def __init__(self, limits: IngressLimits, clock: Clock) -> None:
        self.limits, self.clock = limits, clock
        self.budget = Budget(limits.max_unfinished_bytes, clock)
        self.peers = Peers(clock, limits.max_per_address)
        self.discarded = TokenBucket(DISCARDED_AT_ONCE, DISCARDED_PER_S, clock)
        """Bytes read after the response, so that a client can read it: work that is worth little."""
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        """Connections without a complete request, longest waiting first."""

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, address: str) -> bool:
        """Whether one more connection may open; closes a waiting one for it if necessary."""
        limits, peer = self.limits, self.peers.get(address)
        if len(self._open) >= limits.max_open and not self._make_room(None):
            log_closed("full", address, f"{limits.max_open} connections are open and active")
            return False
        if peer is not None and peer.open >= limits.max_per_address and not self._make_room(address):
            log_closed(
                "address_full",
                address,
                f"{limits.max_per_address} connections of this address are open and active "
                "(server.max_connections_per_address)",
            )
            return False
        if peer is not None and not peer.may_connect:
            log_closed("too_often", address, "this address opens connections too fast, or has exceeded limits on them")
            return False
        return True

    def add(self, connection: Connection) -> None:
        """Count a new connection."""
        self._open.add(connection)
        peer = self.peers.get(connection.address)
        if peer is not None:
            peer.open += 1

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        peer = self.peers.get(connection.address)
        if peer is not None:
            peer.open -= 1

    def mark_waiting(self, connection: Connection) -> None:
        """The connection owes data from now on: a request, the rest of a body, or a CONNECT."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = None

    def mark_active(self, connection: Connection) -> None:
        """The connection has sent its data."""
        self._waiting.pop(connection, None)

    def close_waiting(self, count: int) -> None:
        """Close up to `count` waiting connections, to free file descriptors."""
        for _ in range(count):
            if not self._make_room(None):
                return

    async def run(self, *more: Callable[[float], None]) -> None:
        """Close overdue connections, until cancelled. `more`: other sweeps, each called with the time."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self.clock()
            await self._close_overdue(now)
            self.peers.forget_idle()
            if self.budget.leaves_memory():
                self.budget.peak_bytes = self.budget.bytes
                await asyncio.get_running_loop().run_in_executor(None, heap.trim)  # milliseconds, without the GIL
            for sweep in more:
                sweep(now)

    async def _close_overdue(self, now: float) -> None:
        """Apart from `run`, which would hold the last connection until another one is there."""
        closed = 0
        for connection in list(self._open):
            overdue = connection.overdue(now)
            if overdue is not None:
                connection.terminate(*overdue)
                closed += 1
                if closed % _CLOSED_IN_A_ROW == 0:
                    await asyncio.sleep(0)

    def _make_room(self, address: str | None) -> bool:
        for connection in self._waiting:
            if address is None or connection.address == address:
                connection.terminate("crowded", "at the connection limit, and it has not sent a complete request")
                self.remove(connection)
                return True
        return False


def log_closed(kind: str, address: str, why: str) -> None:
    """Log a closed connection. The log keeps one line of each kind in ten seconds."""
    log.warning("closed a connection from %s: %s", plain_address(address) or "this device", why,
                extra={"kind": f"ingress_{kind}", "code": f"ingress_{kind}", "reason": why})  # fmt: skip
