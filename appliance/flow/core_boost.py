"""Whether a frame that has the box to itself gets all cores, or one as always.

Rules of this file:
- All cores on one frame answer it sooner and cost more heat; frames side by side do more for the same heat. So only a
  frame that is alone gets them, after two seconds in which no two frames met; when two meet, that is over at once.
- Nobody believes that it is faster: on each box and at each size both ways are tried, and from then on all cores are
  used only if they save a fifth. What was found while something else kept the box busy is not found for ever.
"""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict

from appliance.ports import Clock
from appliance.values import Size

_ALONE_S = 2.0
_TRIES = 7
"""Of each way, of which the median counts: the first ones of a new network are slow."""
_WORTH_IT = 0.8
_FORGOTTEN_S = 600.0


class CoreBoost:
    """Counts the frames under way. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way = 0
        self._met_s = clock()
        self._tried_s: dict[Size, float] = {}
        self._took_s: defaultdict[tuple[Size, bool], list[float]] = defaultdict(list)

    def begin(self) -> None:
        """A frame is under way until `end`."""
        with self._lock:
            self._under_way += 1
            if self._under_way > 1:
                self._met_s = self._clock()

    def end(self) -> None:
        with self._lock:
            self._under_way -= 1

    def alone(self) -> bool:
        """Whether this is the only frame under way, as all have been for a while."""
        return self._under_way == 1 and self._clock() - self._met_s >= _ALONE_S

    def all_cores(self, size: Size) -> bool:
        """Which way a frame that is alone should go."""
        now_s = self._clock()
        if now_s - self._tried_s.setdefault(size, now_s) > _FORGOTTEN_S:
            with self._lock:
                self._tried_s[size] = now_s
                self._took_s[size, False], self._took_s[size, True] = [], []
        usual, all_cores = self._took_s[size, False], self._took_s[size, True]
        if len(usual) < _TRIES or len(all_cores) < _TRIES:
            return len(usual) >= _TRIES
        return statistics.median(all_cores) <= _WORTH_IT * statistics.median(usual)

    def took(self, size: Size, all_cores: bool, infer_s: float) -> None:
        """What a frame that was alone took; only the first few of each way count."""
        with self._lock:
            took_s = self._took_s[size, all_cores]
            if len(took_s) < _TRIES:
                took_s.append(infer_s)
