"""How many frames may be under way at the engine: a limit that follows its latency.

After Netflix' Gradient2 (concurrency-limits): the limit shrinks by the ratio of the usual latency to the present one,
and else grows slowly. Changed for one small chip: the floor is 1 instead of 20, what is added is half a frame, and each
operating point (input size) has a baseline of its own, since stepping down the ladder is no congestion going away.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from appliance.values import Size

TOLERANCE = 1.5
"""Latency may be this much over the usual before it counts: two inferences side by side slow each other."""
_ADDED = 0.5
_SMOOTH = 0.2
_SHORT, _LONG = 0.3, 0.01
_MOST_POINTS = 32


@dataclass(slots=True)
class _Baseline:
    short_s: float
    long_s: float


class Concurrency:
    """The limit; `most` bounds it from above."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._baselines: OrderedDict[Size, _Baseline] = OrderedDict()

    @property
    def limit(self) -> int:
        """Frames that may be under way now, 1 to `most`."""
        return max(1, min(self.most, round(self._limit)))

    def sample(self, point: Size, latency_s: float, in_flight: int) -> None:
        """One inference took this long at this input size, with so many under way."""
        baseline = self._baselines.pop(point, None) or _Baseline(latency_s, latency_s)
        baseline.short_s += _SHORT * (latency_s - baseline.short_s)
        baseline.long_s += _LONG * (latency_s - baseline.long_s)
        if baseline.long_s > 2 * baseline.short_s:
            baseline.long_s *= 0.95  # a slow time is over: do not take it for the usual
        self._baselines[point] = baseline
        while len(self._baselines) > _MOST_POINTS:
            self._baselines.popitem(last=False)
        gradient = max(0.5, min(1.0, TOLERANCE * baseline.long_s / max(baseline.short_s, 1e-6)))
        if gradient == 1.0 and in_flight < self._limit / 2:
            return  # idle: says nothing about what it could bear
        wanted = self._limit * gradient + _ADDED
        self._limit = max(1.0, min(float(self.most), self._limit + _SMOOTH * (wanted - self._limit)))
