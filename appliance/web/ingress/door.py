"""The door: counts connections as they come, turns away those that stall, and makes room when it is full.

Rules of this file:
- A full door closes the connection that has waited longest without having shown anything, and lets the newcomer in: a
  camera shows who it is at once, a flood of idle connections never does.
- Only where every connection is at work is the newcomer refused.
- Loopback is not counted by address: a reverse proxy on the device itself speaks for all its clients.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from appliance.ports import Clock
from appliance.web.ingress.budget import Budget
from appliance.web.ingress.limits import IngressLimits

log = logging.getLogger(__name__)

_SWEEP_S = 1.0
_CLOSED_IN_A_ROW = 32
"""After so many the event loop gets its turn: closing thousands takes a second."""


class Connection(Protocol):
    """What the door knows of a connection."""

    address: str

    def turn_away(self, kind: str, why: str) -> None:
        """Close it at once."""

    def overdue(self, now: float) -> tuple[str, str] | None:
        """The kind of its delay and why it is to be closed, if it is."""


class Door:
    """All TCP connections of the port."""

    def __init__(self, limits: IngressLimits, clock: Clock) -> None:
        self.limits, self.clock = limits, clock
        self.budget = Budget(limits.max_unfinished_bytes, clock)
        self._by_address: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        """Those that have shown nothing yet, longest waiting first."""

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, address: str) -> bool:
        """Whether one more may come in; makes room for it where that can be done."""
        limits = self.limits
        if len(self._open) >= limits.max_open and not self._make_room(None):
            turned_away("full", address, f"{limits.max_open} connections are open and at work")
            return False
        if self._by_address[address] >= limits.max_per_address and not self._make_room(address):
            turned_away(
                "address_full",
                address,
                f"{limits.max_per_address} connections of this address are open and at work "
                "(server.max_connections_per_address)",
            )
            return False
        return True

    def entered(self, connection: Connection) -> None:
        self._open.add(connection)
        if _is_counted(connection.address):
            self._by_address[connection.address] += 1

    def left(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        if _is_counted(connection.address):
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def waits(self, connection: Connection) -> None:
        """It has something to show from now on: a request, the rest of a body, a CONNECT."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """It has shown it."""
        self._waiting.pop(connection, None)

    def relieve(self, count: int) -> None:
        """Close up to `count` waiting connections: the process has no file descriptors left."""
        for _ in range(count):
            if not self._make_room(None):
                return

    async def run(self, *more: Callable[[float], None]) -> None:
        """Close what is overdue, until cancelled. `more`: other sweeps, each called with the time."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self.clock()
            closed = 0
            for connection in list(self._open):
                overdue = connection.overdue(now)
                if overdue is not None:
                    connection.turn_away(*overdue)
                    closed += 1
                    if closed % _CLOSED_IN_A_ROW == 0:
                        await asyncio.sleep(0)
            for sweep in more:
                sweep(now)

    def _make_room(self, address: str | None) -> bool:
        for connection in self._waiting:
            if address is None or connection.address == address:
                connection.turn_away("crowded", "newer connections need its place, and it has not sent a whole request")
                self.left(connection)
                return True
        return False


def turned_away(kind: str, address: str, why: str) -> None:
    """One line for a kind in ten seconds, however many come."""
    log.warning("closed a connection from %s: %s", address or "this device", why,
                extra={"kind": f"ingress_{kind}", "code": f"ingress_{kind}", "reason": why})  # fmt: skip


@functools.lru_cache(maxsize=1024)
def _is_counted(address: str) -> bool:
    try:
        return not ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False  # a Unix socket
