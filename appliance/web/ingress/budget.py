"""The memory budget for messages that have not arrived completely, shared by all connections.

When it is exceeded, the connection with the highest product of bytes and age is closed. A camera on a local network
holds a frame for milliseconds, so a stalled or trickled upload always ranks above a camera, however many there are.

While more than a quarter of the budget is in use, all long messages together are read at 16 MB/s, so that reading them
leaves the event loop time for the cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.ports import Clock
from appliance.token_bucket import TokenBucket

_PACED_SHARE = 1 / 4
"""Part of the budget that must be in use before messages are paced."""
_PACED_BYTES = 262_144
"""Shorter messages are never paced: most cameras send shorter frames."""
_BYTES_AT_ONCE, _BYTES_PER_S = 4_000_000, 16_000_000.0
_LONGEST_WAIT_S = 1.0
_KEPT_BYTES = 16_000_000


@dataclass(slots=True, eq=False)
class Usage:
    """Bytes of unfinished messages that one sender holds now."""

    close: Callable[[str], None]
    """Closes the sender's connection; the argument is the reason."""
    bytes: int = 0
    since_s: float = 0.0
    """When the first of these bytes arrived."""
    progress_s: float = 0.0
    """When the latest of these bytes arrived."""

    def restart(self, now: float) -> None:
        """Count the age from now, as after a pause that the sender did not cause."""
        self.since_s = self.progress_s = now


class Budget:
    """At most `max_bytes` of unfinished messages."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self.max_bytes, self._clock = max_bytes, clock
        self.bytes = 0
        self.peak_bytes = 0
        """The most since the freed memory was last returned to the system."""
        self._holding: set[Usage] = set()
        self._rate = TokenBucket(_BYTES_AT_ONCE, _BYTES_PER_S, clock)

    def grow(self, usage: Usage, size: int) -> None:
        """Add bytes to a sender's usage. May close the connections of other senders, or of this one."""
        now = self._clock()
        if not usage.bytes:
            usage.since_s = now
            self._holding.add(usage)
        usage.bytes += size
        usage.progress_s = now
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        while self.bytes > self.max_bytes:
            worst = max(self._holding, key=lambda one: one.bytes * (now - one.since_s + 0.001))
            self.release(worst)
            worst.close(
                f"unfinished messages exceed {self.max_bytes} bytes (server.max_unfinished_bytes), "
                "and this connection holds the most for the longest time"
            )

    def leaves_memory(self) -> bool:
        """Whether many bytes were held and nearly all are released; the allocator keeps them until it is trimmed."""
        return self.peak_bytes >= _KEPT_BYTES and self.bytes < _KEPT_BYTES // 8

    def wait_s(self, usage: Usage, size: int) -> float:
        """How long a sender has to wait after it has sent `size` bytes, s."""
        if self.bytes < self.max_bytes * _PACED_SHARE or usage.bytes < _PACED_BYTES:
            return 0.0
        return min(_LONGEST_WAIT_S, self._rate.take(size))

    def release(self, usage: Usage) -> None:
        """Remove a sender's bytes: its message is complete, or it has disconnected."""
        self.bytes -= usage.bytes
        usage.bytes = 0
        self._holding.discard(usage)
