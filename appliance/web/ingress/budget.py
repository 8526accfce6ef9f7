"""The memory budget for messages that have not arrived completely, shared by all connections.

When it is exceeded, the connection with the highest product of bytes and age is closed. A camera on a local network
holds a frame for milliseconds, so a stalled or trickled upload always ranks above a camera, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.ports import Clock


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
        self._holding: set[Usage] = set()

    def grow(self, usage: Usage, size: int) -> None:
        """Add bytes to a sender's usage. May close the connections of other senders, or of this one."""
        now = self._clock()
        if not usage.bytes:
            usage.since_s = now
            self._holding.add(usage)
        usage.bytes += size
        usage.progress_s = now
        self.bytes += size
        while self.bytes > self.max_bytes:
            worst = max(self._holding, key=lambda one: one.bytes * (now - one.since_s + 0.001))
            self.release(worst)
            worst.close(
                f"unfinished messages exceed {self.max_bytes} bytes (server.max_unfinished_bytes), "
                "and this connection holds the most for the longest time"
            )

    def release(self, usage: Usage) -> None:
        """Remove a sender's bytes: its message is complete, or it has disconnected."""
        self.bytes -= usage.bytes
        usage.bytes = 0
        self._holding.discard(usage)
