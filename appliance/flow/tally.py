"""What became of all frames since the start: counters that only grow, for rates, metrics and history."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from appliance.values import Detected, Failed, Outcome, Skipped

LATENCY_BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper ends of the latency's buckets; a last one holds what took longer."""


@dataclass(slots=True)
class Tally:
    """Each frame that came in ends in one of answered, failed and skipped."""

    received: int = 0
    answered: int = 0
    cached: int = 0
    """Of those answered, without inference."""
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    latency_counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    """Answered frames by bucket of the time from arrival to answer."""
    latency_sum_s: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """One frame has ended so."""
        if isinstance(outcome, Detected):
            self.answered += 1
            self.cached += bool(outcome.cached)
            total_s = outcome.timing.total_ms / 1000
            self.latency_counts[bisect_left(LATENCY_BOUNDS_S, total_s)] += 1
            self.latency_sum_s += total_s
        elif isinstance(outcome, Failed):
            self.failed += 1
        elif isinstance(outcome, Skipped):
            self.skipped[outcome.reason.value] += 1
