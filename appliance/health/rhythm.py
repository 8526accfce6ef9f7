"""A camera's rhythm: how long it may be silent before that means something.

Rules of this file:
- A camera that sends every second is silent after two minutes; one that sends on motion, with hours between, after a
  multiple of these hours. Both are learned from the gaps between frames alone.
- A gap is usual if gaps of its length fill a fifth of the camera's time, or if it was reached three times in five days.
  So one outage of a regular camera changes nothing, and a camera that is off every night is reported three times.
- Ages are counted in the camera's own time, the sum of its gaps, so that a clock that is set changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LEAST_S = 120.0
"""Shortest silence that is reported: cameras and switches need this long to restart."""
MOST_S = 86_400.0
"""Longest silence that is not reported."""

_FACTOR = 3.0
"""A silence is unusual at this multiple of the longest usual gap."""
_USUAL_PART = 0.2
_BUCKETS = 18
"""The last one holds gaps of 36 hours and more."""
_HALF_LIFE_S = 3 * 86_400.0
_REMEMBER_S = 5 * 86_400.0
_MOST_LONG = 8
_REPEATED = 3
_YOUNG_S = 3600.0
"""Until a camera has been known for this long, any of its gaps may be usual."""
_OUTAGE = 10.0
"""A longer gap of a camera that is not young counts as this multiple of its limit."""
_RECOMPUTE = 32
"""Short gaps only lower the limit, slowly: it is computed after this many of them."""
_ENOUGH_GAPS, _ENOUGH_S = 10, 120.0


@dataclass(slots=True)
class Rhythm:
    """What is known about the gaps between a camera's frames; `note` each of them."""

    gaps: int = 0
    lived_s: float = 0.0
    """Sum of all gaps."""
    spent_s: list[float] = field(default_factory=lambda: [0.0] * _BUCKETS)
    """Time spent in gaps of 2^n to 2^(n+1) s; older time counts less."""
    longest: list[tuple[float, float]] = field(default_factory=list)
    """The longest gaps of the last days and when they ended, s (`lived_s`); the longest first."""
    silent_after_s: float = LEAST_S
    """The silence that is unusual for this camera, s."""

    @property
    def regular(self) -> bool:
        """Whether enough has been seen to say what is usual."""
        return self.gaps >= _ENOUGH_GAPS and self.lived_s >= _ENOUGH_S

    def note(self, gap_s: float) -> None:
        """Add the time between two frames."""
        gap_s = max(0.0, gap_s)
        counted_s = gap_s if self.lived_s < _YOUNG_S else min(gap_s, _OUTAGE * self.silent_after_s)
        self.gaps += 1
        self.lived_s += gap_s
        if gap_s > 1:
            fade = 0.5 ** (gap_s / _HALF_LIFE_S)
            self.spent_s = [spent_s * fade for spent_s in self.spent_s]
        self.spent_s[_bucket(gap_s)] += counted_s
        if gap_s > LEAST_S / _FACTOR or self.longest:
            self._remember(gap_s)
        if gap_s > 1 or self.gaps % _RECOMPUTE == 0:
            third_s = self.longest[_REPEATED - 1][0] if len(self.longest) >= _REPEATED else 0.0
            self.silent_after_s = min(MOST_S, max(LEAST_S, _FACTOR * max(third_s, self._usual_s())))

    def _remember(self, gap_s: float) -> None:
        since_s = self.lived_s - _REMEMBER_S
        kept = [gap for gap in self.longest if gap[1] >= since_s]
        if gap_s > LEAST_S / _FACTOR:
            kept.append((gap_s, self.lived_s))
            kept.sort(reverse=True)
        self.longest = kept[:_MOST_LONG]

    def _usual_s(self) -> float:
        """The longest gap, rounded up, such that it and longer ones fill a fifth of the time."""
        left_s = _USUAL_PART * sum(self.spent_s)
        for bucket in range(_BUCKETS - 1, 0, -1):
            left_s -= self.spent_s[bucket]
            if left_s < 0:
                return 2.0 ** (bucket + 1)
        return 2.0


def _bucket(gap_s: float) -> int:
    return min(_BUCKETS - 1, int(math.log2(gap_s))) if gap_s >= 1 else 0
