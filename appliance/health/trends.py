"""What one look does not show: the last minute's traffic, an engine that gives nothing back, a sensor that knew."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from appliance.health.facts import Lately

_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters since the start, and what is under way, at one moment (monotonic)."""

    at_s: float
    received: int = 0
    answered: int = 0
    overloaded: int = 0
    """Frames dropped because the box had no time for them."""
    rate_limited: int = 0
    results_dropped: int = 0
    latency_counts: tuple[int, ...] = ()
    """Answered frames by bucket of latency."""
    in_flight: int = 0
    """Frames that the engine is at."""
    returned: int = 0
    """Frames that the engine was done with."""

    @property
    def refused(self) -> int:
        return self.overloaded + self.rate_limited


class Trends:
    """Remembers a minute of counts; `note` is to be called about once a second."""

    def __init__(self) -> None:
        self._minute: deque[Counts] = deque()
        self._still_since_s = 0.0
        self._temp_seen = False

    def note(self, counts: Counts, temp_c: float | None) -> None:
        """The counts of this moment, and the chip's temperature if it could be read."""
        self._temp_seen |= temp_c is not None
        last = self._minute[-1] if self._minute else None
        if last is None or 0 in (counts.in_flight, last.in_flight) or counts.returned != last.returned:
            self._still_since_s = counts.at_s
        self._minute.append(counts)
        while len(self._minute) > 1 and self._minute[1].at_s <= counts.at_s - _WINDOW_S:
            self._minute.popleft()

    def lately(self) -> Lately:
        """As of the last note."""
        if not self._minute:
            return Lately()
        first, last = self._minute[0], self._minute[-1]
        return Lately(
            temp_seen=self._temp_seen,
            engine_still_s=last.at_s - self._still_since_s,
            received=last.received - first.received,
            overloaded=last.overloaded - first.overloaded,
            rate_limited=last.rate_limited - first.rate_limited,
            results_dropped=last.results_dropped - first.results_dropped,
        )
