"""The real speed of the CPU: the time that a small fixed piece of work takes, without the time spent waiting."""

from __future__ import annotations

import hashlib
import time

from appliance.ports import Clock

_EVERY_S = 10.0
_REPEATS = 5
_DATA = bytes(range(256)) * 256
"""64 kB stay in the cache of one core, so that the memory and its other users do not count."""


class Work:
    """Repeats the work rarely: it takes a millisecond or two at most, outside the GIL."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._measured_s = float("-inf")
        self._ms: float | None = None

    def measure(self) -> float | None:
        """CPU time of the work, ms: the shortest of a few repetitions, at most ten seconds old."""
        if self._clock() - self._measured_s >= _EVERY_S:
            self._measured_s = self._clock()
            self._ms = round(min(_cpu_ms() for _ in range(_REPEATS)), 4) or None
        return self._ms


def _cpu_ms() -> float:
    begun_s = time.thread_time()
    hashlib.sha256(_DATA)
    return (time.thread_time() - begun_s) * 1000
