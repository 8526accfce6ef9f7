"""Counters of all frames since the start, for rates, metrics and history. They only increase."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from appliance.values import Detected, Failed, Outcome, Skipped

LATENCY_BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of the latency buckets; one more bucket holds everything slower."""


@dataclass(slots=True)
class Tally:
    """Every received frame ends as answered, failed or skipped."""

    received: int = 0
    answered: int = 0
    cached: int = 0
    """Answered without inference."""
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Skipped frames by reason."""
    latency_counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    """Answered frames by latency bucket (arrival to answer)."""
    latency_sum_s: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """Count the outcome of one frame."""
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
