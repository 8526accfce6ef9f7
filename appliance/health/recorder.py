"""From looks, one a second, to the history's rows, one in ten seconds; and what it means when the clock is set.

Rules of this file:
- A row belongs to the step of the wall clock in which its looks fell; a step without a look is a gap.
- The wall clock against the one that only goes forward says when it was set: more than half a step between two looks.
  Then the rows of this run move with it.
- Rates are counters over the time that has really passed, so that a late look makes no peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.health.history import STEP_S, History
from appliance.health.trends import Counts
from appliance.ports import Clock
from appliance.readings import Reading

STATUSES = ("ok", "degraded", "critical")
"""As the history counts them, from 0."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the box saw."""

    reading: Reading
    counts: Counts
    cooling: int
    cameras: int
    status: str


class Recorder:
    """Puts rows into a history. `clock` goes forward only, also while the machine sleeps; `wall_clock` since 1970."""

    def __init__(self, history: History, *, latency_bounds_s: Sequence[float], clock: Clock, wall_clock: Clock) -> None:
        self.history = history
        self._bounds_s, self._clock, self._wall_clock = latency_bounds_s, clock, wall_clock
        self._offset_s: float | None = None
        self._step = 0
        self._looks: list[Look] = []
        self._before: Counts | None = None
        """The counts as the last row ended."""

    def note(self, look: Look) -> None:
        """One more look; ends the row if it falls into the next step."""
        now_s = max(0.0, self._wall_clock())
        self._follow_clock(now_s - self._clock())
        step = int(now_s // STEP_S)
        if self._looks and step != self._step:
            self._end_row()
        self._step = step
        if self._before is None:
            self._before = look.counts
        self._looks.append(look)

    def _follow_clock(self, offset_s: float) -> None:
        former_s, self._offset_s = self._offset_s, offset_s
        if former_s is None or abs(offset_s - former_s) <= STEP_S / 2:
            return
        steps = round((offset_s - former_s) / STEP_S)
        self.history.shift(steps)
        self._step = max(0, self._step + steps)

    def _end_row(self) -> None:
        looks, self._looks = self._looks, []
        before, last = self._before or looks[0].counts, looks[-1].counts
        self._before = last
        passed_s = last.at_s - before.at_s
        latencies = [after - then for after, then in zip(last.latency_counts, before.latency_counts, strict=True)]
        self.history.put(
            self._step,
            (
                _mean([look.reading.thermal.soc_temp_c for look in looks]),
                max(look.cooling for look in looks),
                _mean([look.reading.cpu.percent for look in looks]),
                _least([look.reading.memory.available_bytes for look in looks]),
                (last.answered - before.answered) / passed_s if passed_s > 0 else None,
                (last.refused - before.refused) / passed_s if passed_s > 0 else None,
                _ms(quantile(self._bounds_s, latencies, 0.5)),
                _ms(quantile(self._bounds_s, latencies, 0.95)),
                max(look.cameras for look in looks),
                max(STATUSES.index(look.status) for look in looks),
            ),
        )


def quantile(bounds_s: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """Below which this part (0-1) of the counted values lies, s, evenly spread within each bucket; None without any.

    As good as the buckets are narrow; of the last one, which has no end, its beginning is told.
    """
    left = part * sum(counts)
    if left <= 0:
        return None
    lower_s = 0.0
    for upper_s, count in zip(bounds_s, counts, strict=False):
        if left <= count:
            return lower_s + (upper_s - lower_s) * left / count
        left -= count
        lower_s = upper_s
    return lower_s


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _least(values: Sequence[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
