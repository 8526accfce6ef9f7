"""Memory of messages that have not fully arrived: one budget for all connections.

Over the budget, the charge with the highest rent is closed: bytes times age. A camera on a local network holds a frame
for milliseconds, so a stalled or trickled upload always pays more rent than a camera, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.ports import Clock


@dataclass(slots=True, eq=False)
class Charge:
    """What one sender holds at the moment."""

    close: Callable[[str], None]
    """Ends the sender's connection; the argument says why."""
    bytes: int = 0
    since_s: float = 0.0
    """When the first of these bytes arrived."""
    progress_s: float = 0.0
    """When the latest arrived."""


class Budget:
    """At most `max_bytes` of unfinished messages."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self.max_bytes, self._clock = max_bytes, clock
        self.bytes = 0
        self._holding: set[Charge] = set()

    def grow(self, charge: Charge, size: int) -> None:
        """Add bytes to a charge. May close other charges, or this one."""
        now = self._clock()
        if not charge.bytes:
            charge.since_s = now
            self._holding.add(charge)
        charge.bytes += size
        charge.progress_s = now
        self.bytes += size
        while self.bytes > self.max_bytes:
            dearest = max(self._holding, key=lambda one: one.bytes * (now - one.since_s + 0.001))
            self.release(dearest)
            dearest.close(
                f"unfinished messages hold more than {self.max_bytes} bytes (server.max_unfinished_bytes), "
                "and this connection holds most for longest"
            )

    def release(self, charge: Charge) -> None:
        """The message is complete, or its sender has gone."""
        self.bytes -= charge.bytes
        charge.bytes = 0
        self._holding.discard(charge)
