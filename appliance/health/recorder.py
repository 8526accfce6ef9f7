"""Turn samples, one a second, into rows of the history, one every ten seconds.

Rules of this file:
- A row belongs to the step of the wall clock in which its samples were taken. A step without samples is a gap.
- A change of more than half a step between the wall clock and the monotonic clock means that the clock was set. The
  rows of this run then move with it.
- A rate is a counter's increase over the time that really passed, so a late sample causes no peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.health.history import STEP_S, History
from appliance.health.trends import Counts
from appliance.ports import Clock
from appliance.readings import Reading

STATUSES = ("ok", "degraded", "critical")
"""In the order of the history's numbers, from 0."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the device at one moment."""

    reading: Reading
    counts: Counts
    cooling: int
    cameras: int
    status: str


class Recorder:
    """Writes rows to a history.

    `clock`: monotonic, and also counts while the machine sleeps. `wall_clock`: seconds since 1970.
    """

    def __init__(self, history: History, *, latency_bounds_s: Sequence[float], clock: Clock, wall_clock: Clock) -> None:
        self.history = history
        self._bounds_s, self._clock, self._wall_clock = latency_bounds_s, clock, wall_clock
        self._offset_s: float | None = None
        self._step = 0
        self._samples: list[Sample] = []
        self._before: Counts | None = None
        """The counts at the end of the last row."""

    def note(self, sample: Sample) -> None:
        """Add a sample. Ends the row if the sample falls into the next step."""
        now_s = max(0.0, self._wall_clock())
        self._follow_clock(now_s - self._clock())
        step = int(now_s // STEP_S)
        if self._samples and step != self._step:
            self._end_row()
        self._step = step
        if self._before is None:
            self._before = sample.counts
        self._samples.append(sample)

    def _follow_clock(self, offset_s: float) -> None:
        former_s, self._offset_s = self._offset_s, offset_s
        if former_s is None or abs(offset_s - former_s) <= STEP_S / 2:
            return
        steps = round((offset_s - former_s) / STEP_S)
        self.history.shift(steps)
        self._step = max(0, self._step + steps)

    def _end_row(self) -> None:
        samples, self._samples = self._samples, []
        before, last = self._before or samples[0].counts, samples[-1].counts
        self._before = last
        passed_s = last.at_s - before.at_s
        latencies = [after - then for after, then in zip(last.latency_counts, before.latency_counts, strict=True)]
        self.history.put(
            self._step,
            (
                _mean([sample.reading.thermal.soc_temp_c for sample in samples]),
                max(sample.cooling for sample in samples),
                _mean([sample.reading.cpu.percent for sample in samples]),
                _least([sample.reading.memory.available_bytes for sample in samples]),
                (last.answered - before.answered) / passed_s if passed_s > 0 else None,
                (last.refused - before.refused) / passed_s if passed_s > 0 else None,
                _ms(quantile(self._bounds_s, latencies, 0.5)),
                _ms(quantile(self._bounds_s, latencies, 0.95)),
                max(sample.cameras for sample in samples),
                max(STATUSES.index(sample.status) for sample in samples),
            ),
        )


def quantile(bounds_s: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """Estimate a quantile (`part`: 0-1) from the buckets of a histogram, s; None if it is empty.

    Values are assumed to be evenly spread within their bucket. For the last bucket, which has no upper bound, returns
    its lower bound.
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
