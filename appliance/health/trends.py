"""What a single sample does not show: the last minute's traffic, a hung engine, a temperature sensor that failed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from appliance.health.facts import Recent

_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters since the start, and the frames in flight, at one moment (monotonic)."""

    at_s: float
    received: int = 0
    answered: int = 0
    overloaded: int = 0
    """Frames dropped because the device was overloaded."""
    rate_limited: int = 0
    results_dropped: int = 0
    latency_counts: tuple[int, ...] = ()
    """Answered frames per latency bucket."""
    in_flight: int = 0
    """Frames that are being processed."""
    returned: int = 0
    """Frames that were processed, successfully or not."""

    @property
    def refused(self) -> int:
        return self.overloaded + self.rate_limited


class Trends:
    """Keeps one minute of counts. Call `note` about once a second."""

    def __init__(self) -> None:
        self._minute: deque[Counts] = deque()
        self._still_since_s = 0.0
        self._temp_seen = False

    def note(self, counts: Counts, temp_c: float | None) -> None:
        """Add the current counts and the chip's temperature (None: unknown)."""
        self._temp_seen |= temp_c is not None
        last = self._minute[-1] if self._minute else None
        if last is None or 0 in (counts.in_flight, last.in_flight) or counts.returned != last.returned:
            self._still_since_s = counts.at_s
        self._minute.append(counts)
        while len(self._minute) > 1 and self._minute[1].at_s <= counts.at_s - _WINDOW_S:
            self._minute.popleft()

    def recent(self) -> Recent:
        """Return the state as of the last `note`."""
        if not self._minute:
            return Recent()
        first, last = self._minute[0], self._minute[-1]
        return Recent(
            temp_seen=self._temp_seen,
            engine_still_s=last.at_s - self._still_since_s,
            received=last.received - first.received,
            overloaded=last.overloaded - first.overloaded,
            rate_limited=last.rate_limited - first.rate_limited,
            results_dropped=last.results_dropped - first.results_dropped,
        )
