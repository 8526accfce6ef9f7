"""Collect evidence about the capacity from frames and engine, and update the estimate."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from statistics import fmean

from appliance.flow.capacity import EngineCapacity, LoadEvidence, adapt, restarted
from appliance.flow.mailboxes import EngineUsage

_ENOUGH, _WINDOW_S = 8, 0.5
"""Frames of obeying cameras, and time, from which their shortest wait is judged."""

_BUSY = 20
"""Steps of which the engine's busy time is kept, at most."""
_MOST_OWED = 10.0
"""Readings over which the time of a long frame is spread, at most."""


class LoadWatch:
    """The estimate of the capacity, and the evidence since the last update. Only the event loop uses it."""

    def __init__(self, now_s: float) -> None:
        self.capacity = EngineCapacity()
        self.longest_wait = 0.0
        """Since the last step, as a part of the waiting camera's interval."""
        self._waits: list[float] = []
        """Since a standing queue was looked for last."""
        self._judged_s = now_s
        self._usage: EngineUsage | None = None
        self._mixed = False
        """Whether the next usage includes a time before a change."""
        self._busy: deque[float] = deque(maxlen=_BUSY)
        """Part of the allocated engine time that was used, at each step since it was asked for."""
        self._owed = 0.0
        """What the last answers could not show of it."""

    def waited(self, wait: float) -> None:
        """Record how long a frame waited, as a part of its camera's interval."""
        self._waits.append(wait)
        self.longest_wait = max(self.longest_wait, wait)

    def used(self, usage: EngineUsage | None) -> None:
        """Record how the engine was used since the last step."""
        self._usage = None if self._mixed else usage
        self._mixed = False
        if usage is not None and self.capacity.use > 0:
            self._busy.append(usage.spent / self.capacity.use)

    def take_busy(self) -> float | None:
        """Part of the allocated engine time that was used since the last call, 0-1; None: not known.

        A frame counts when it is finished. If it took longer than the time since the last call, the rest is in the
        next answers.
        """
        if not self._busy:
            return None
        busy = fmean(self._busy) + self._owed
        self._busy.clear()
        self._owed = min(max(0.0, busy - 1), _MOST_OWED)
        return min(1.0, busy)

    def restart(self, now_s: float) -> None:
        """Discard what was seen so far: it was measured with other limits or other cameras."""
        self.capacity, self._mixed = restarted(self.capacity, now_s), True
        self._waits, self.longest_wait, self._judged_s = [], 0.0, now_s

    def step(self, now_s: float, *, wanted: bool, lags: bool, duty: float) -> int:
        """Adapt the estimate; return 1 if there is more to announce, -1 if it shrank, otherwise 0.

        `wanted`: whether a camera uses all that it was given. `lags`: whether one was announced less than its share.
        """
        shortest_wait = None
        if len(self._waits) >= _ENOUGH and now_s - self._judged_s >= _WINDOW_S:
            shortest_wait, self._waits, self._judged_s = min(self._waits), [], now_s
        seen = LoadEvidence(shortest_wait, self.longest_wait, wanted=wanted, duty=duty)
        if self._usage is not None:
            seen = replace(seen, idle=self._usage.idle, spent=self._usage.spent)
        former, adapted = self.capacity.use, adapt(self.capacity, seen, now_s)
        more = adapted.use > former
        # What is idle because shares were not announced yet is not more capacity, but a reason to announce them.
        self.capacity = replace(adapted, use=former) if more and lags else adapted
        self.longest_wait, self._usage = 0.0, None
        return more - (self.capacity.use < former)
