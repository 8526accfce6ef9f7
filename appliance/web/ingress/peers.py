"""Client addresses: how many connections each has open, and how much work it causes.

Rules of this file:
- An address that causes too much work is slowed down. The service reads its data later, and TCP holds the sender back.
- 127.0.0.1 and ::1 have no limits: a reverse proxy on the device connects for all its clients.
- An address is remembered until its buckets have refilled, so reconnecting does not reset its limits.
"""

from __future__ import annotations

import functools
import ipaddress

from appliance.ports import Clock
from appliance.token_bucket import TokenBucket

_CONNECTIONS_AT_ONCE, _CONNECTIONS_PER_S = 60, 50.0
"""New connections of one address. All cameras behind one router reconnect at once after a restart; with more of them,
the last wait for seconds."""
_LONGEST_WAIT_S = 5.0
"""A new connection that would have to wait longer is refused."""
_USUAL_CONNECTIONS = 500
"""The default of server.max_connections_per_address. A larger one, as for a proxy, raises all limits of this file."""
_WORK_AT_ONCE, _WORK_PER_S = 1000, 4000.0
"""A fifth of the event loop, or a twentieth of a second at once: 100 to 200 HTTP requests a second, by what they ask
for, or 500 frames over websockets. See `limits.WORK_PER_LOOP_S`."""
_VIOLATION = 20
"""New connections that a connection counts for if it is closed for exceeding a limit."""
_TURNS_AT_ONCE, _TURNS_PER_S = 40, 40.0
"""New connections of all addresses together that are read at once: hundreds in the same instant delay every frame."""
_LONGEST_TURN_S = 3.0
_REFUSALS_AT_ONCE, _REFUSALS_PER_S = 60, 10.0
"""Refused Socket.IO clients of all addresses together; each has cost milliseconds of the event loop by then."""
_REFUSAL = 260
"""New connections that one refused beyond that counts for: its address may connect again after seconds."""
_MAX_REMEMBERED = 4096
"""Addresses without an open connection that are remembered."""


class Peer:
    """One address."""

    __slots__ = ("_connections", "open", "work")

    def __init__(self, clock: Clock, scale: float) -> None:
        self.open = 0
        self.work = TokenBucket(scale * _WORK_AT_ONCE, scale * _WORK_PER_S, clock)
        self._connections = TokenBucket(scale * _CONNECTIONS_AT_ONCE, scale * _CONNECTIONS_PER_S, clock)

    @property
    def may_connect(self) -> bool:
        """Whether a new connection is admitted, if only after a wait."""
        return self._connections.wait_s <= _LONGEST_WAIT_S

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it changes nothing."""
        return not self.open and self.work.is_full and self._connections.is_full

    def connect(self) -> float:
        """Count a new connection; returns the seconds to wait before its data is read."""
        return self._connections.take()

    def penalize(self) -> None:
        """Count a connection that was closed for exceeding a limit. The wait stays within seconds."""
        if self.may_connect:
            self._connections.take(_VIOLATION)

    def hold_up(self) -> None:
        """Make the next connection wait for seconds, unless it has to anyway."""
        if not self._connections.wait_s:
            self._connections.take(_REFUSAL)


class Peers:
    """All addresses that have limits."""

    def __init__(self, clock: Clock, max_per_address: int = _USUAL_CONNECTIONS) -> None:
        self._clock, self._scale = clock, max(1.0, max_per_address / _USUAL_CONNECTIONS)
        self._known: dict[str, Peer] = {}
        self._turns = TokenBucket(_TURNS_AT_ONCE, _TURNS_PER_S, clock)
        self._refusals = TokenBucket(_REFUSALS_AT_ONCE, _REFUSALS_PER_S, clock)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, address: str) -> Peer | None:
        """The peer with this address; None: the address has no limits."""
        if not _is_limited(address):
            return None
        peer = self._known.get(address)
        if peer is None:
            peer = self._known[address] = Peer(self._clock, self._scale)
        return peer

    def connect(self, address: str) -> float:
        """Count a new connection; returns the seconds to wait before its data is read."""
        peer = self.get(address)
        if peer is None:
            return 0.0
        turn_s = self._turns.take() if self._turns.wait_s < _LONGEST_TURN_S else _LONGEST_TURN_S
        return max(peer.connect(), turn_s)

    def refused(self, address: str) -> None:
        """Count a client that was not let in. While there are too many, their addresses are slowed down."""
        peer = self.get(address)
        if peer is not None and not self._refusals.take_if_any():
            peer.hold_up()

    def forget_idle(self) -> None:
        """Forget addresses whose buckets have refilled, and the oldest closed ones beyond the maximum."""
        for address in [address for address, peer in self._known.items() if peer.is_idle]:
            del self._known[address]
        closed = [address for address, peer in self._known.items() if not peer.open]
        for address in closed[: max(0, len(closed) - _MAX_REMEMBERED)]:
            del self._known[address]


@functools.lru_cache(maxsize=1024)
def _is_limited(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False  # a Unix socket
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed) not in ("127.0.0.1", "::1")
