"""Decide whether a single frame in flight gets all CPU cores, or one core as usual.

Rules of this file:
- All cores on one frame reduce its latency and cost more heat; one core per frame gives more throughput for the same
  heat. So only a lone frame gets all cores, after two seconds without overlapping frames. An overlap ends the boost at
  once.
- The benefit is measured, not assumed: each device tries both ways at each input size, and then uses all cores only if
  they save a fifth of the inference time. Measurements expire, as another process may have distorted them.
"""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict

from appliance.ports import Clock
from appliance.values import Size

_ALONE_S = 2.0
_TRIES = 7
"""Measurements of each way. Their median counts, because the first inferences of a new network are slow."""
_WORTH_IT = 0.8
"""Largest inference time with all cores, as a part of the usual one, that justifies the heat."""
_EXPIRE_S = 600.0


class CoreBoost:
    """Counts the frames in flight and measures both ways. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight = 0
        self._overlap_s = clock()
        self._measured_from_s: dict[Size, float] = {}
        self._times_s: defaultdict[tuple[Size, bool], list[float]] = defaultdict(list)

    def begin(self) -> None:
        """Count a frame as in flight until `end`."""
        with self._lock:
            self._in_flight += 1
            if self._in_flight > 1:
                self._overlap_s = self._clock()

    def end(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def alone(self) -> bool:
        """Whether this is the only frame in flight, and no frames have overlapped for two seconds."""
        return self._in_flight == 1 and self._clock() - self._overlap_s >= _ALONE_S

    def all_cores(self, size: Size) -> bool:
        """Whether a lone frame of this input size should run on all cores."""
        now_s = self._clock()
        if now_s - self._measured_from_s.setdefault(size, now_s) > _EXPIRE_S:
            with self._lock:
                self._measured_from_s[size] = now_s
                self._times_s[size, False], self._times_s[size, True] = [], []
        usual, all_cores = self._times_s[size, False], self._times_s[size, True]
        if len(usual) < _TRIES or len(all_cores) < _TRIES:
            return len(usual) >= _TRIES
        return statistics.median(all_cores) <= _WORTH_IT * statistics.median(usual)

    def record(self, size: Size, all_cores: bool, infer_s: float) -> None:
        """Record the inference time of a lone frame; only the first few of each way count."""
        with self._lock:
            times_s = self._times_s[size, all_cores]
            if len(times_s) < _TRIES:
                times_s.append(infer_s)
