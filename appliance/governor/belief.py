"""What the governor believes of a reading: one bad sample of the temperature changes nothing.

Rules of this file:
- A temperature near the last one, or near what the heat model expects from the load, is believed at once. Any other,
  such as 85 °C from a sensor that was just switched on, is believed when one of the two samples before it supports it.
  A true jump therefore counts with its second sample. If samples only contradict each other, their median counts.
- A sensor shows each value until it measures again, for up to two seconds: an unexpected value supports itself only
  after that time. Chips that jump for a reason that is not known are believed two seconds later at most.
- A value that no working machine has (plausible.py) is a drop-out. Drop-outs of temperature and load are bridged for a
  few seconds with what was believed before: a load that is gone for a second would look like a change of it.
- A temperature that the load contradicts (doubt.py) is unknown.
- A reading shown twice is one sample: it cannot support itself.
- Time does not go back. Where the clock does, what is believed goes on in the time that it had before: every wait and
  every age of the governor rests on that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeVar

from appliance.governor.doubt import Doubt, question
from appliance.governor.plausible import plausible, time_s
from appliance.readings import Doubts, Reading

_JUMP_C, _RATE_C_S = 3.0, 3.0
"""A temperature moves at most this far, and this far for each second since the last one, while there is no model. Chips
do move faster for a second or two, when a load starts on a small die; they are believed a second later."""
_KNOWN_RATE_C_S, _YOUNG_S = 0.5, 60.0
"""The same for a board with a model that is older than a minute and knows what the load does: the rest is weather."""
_SHOWN_S = 1.9
"""The longest that a sensor shows one value, less the jitter of the readings."""
_LIKELY_RISE_C = 3.0
"""A chip that was this far below a temperature a second ago may have reached it."""
_SAMPLES = 3
_CONTRADICTED_S = 2.5
"""After this long without a sample that fits, the median counts."""
_BRIDGE_S = 5.0
"""Drop-outs of this length change nothing; a chip moves a few degrees in that time."""
_STALE_S = 10.0
"""The believed temperature is unknown when the last sample is older than this."""
_LATE_S = 0.5
"""A reading that is older than the last one by less was only decided on later."""


_T = TypeVar("_T")
Forecast = Callable[[Reading], float | None]


@dataclass(frozen=True, slots=True)
class TimedTemperature:
    """One temperature as the sensor reported it."""

    at_s: float
    temp_c: float


@dataclass(frozen=True, slots=True)
class KnownLoad:
    """The last known values of what shows the load, each with its time."""

    percent: tuple[float, float] | None = None
    own_percent: tuple[float, float] | None = None
    gpu_percent: tuple[float, float] | None = None
    watts: tuple[float, Mapping[str, float]] | None = None


@dataclass(frozen=True, slots=True)
class Belief:
    """What earlier readings say about the next one."""

    samples: tuple[TimedTemperature, ...] = ()
    """The last plausible temperatures as read, oldest first."""
    best: TimedTemperature | None = None
    """The believed temperature, and when a sample last supported it."""
    doubt: Doubt = field(default_factory=Doubt)
    first_s: float | None = None
    """Time of the first sample."""
    load: KnownLoad = field(default_factory=KnownLoad)
    at_s: float | None = None
    """Time of the last reading."""
    behind_s: float = 0.0
    """How much the clock has gone back."""

    def reaches(self, critical_c: float, *, stopped: bool) -> bool:
        """Whether two of the last samples agree that the chip is so hot: one alone can be the sensor's error, and
        nothing supports the first one. Inference that is `stopped` starts again when the last two are below."""
        earlier = self.samples[:-1]
        if stopped and any(sample.temp_c >= critical_c for sample in self.samples[-2:]):
            return True
        if not earlier or self.best is None or self.best.temp_c < critical_c:
            return False
        return max(sample.temp_c for sample in earlier) + _LIKELY_RISE_C >= critical_c


def _no_forecast(reading: Reading) -> float | None:
    return None


def believe(belief: Belief, reading: Reading, forecast: Forecast = _no_forecast) -> tuple[Belief, Reading]:
    """Return the belief after one more reading, and the reading with what is believed in place of what was read.

    `forecast`: the temperature, °C, that the heat model expects at such a reading's load; None: no model yet."""
    belief, reading = _with_load(*_in_order(belief, plausible(reading)))
    belief = _with_sample(belief, reading, forecast(reading))
    temp_c = _temp_c(belief, reading)
    doubt = question(belief.doubt, reading, temp_c)
    stuck_c, unknown = (temp_c if doubt.stuck else None), reading.unknown
    if stuck_c is not None:
        temp_c = None
        unknown = {**unknown, "thermal.soc_temp_c": f"the sensor reports {stuck_c:.0f} °C whatever the load"}
    return replace(belief, doubt=doubt), replace(
        reading, thermal=replace(reading.thermal, soc_temp_c=temp_c), unknown=unknown,
        doubts=Doubts(stuck_c, doubt.slow),
    )  # fmt: skip


def _in_order(belief: Belief, reading: Reading) -> tuple[Belief, Reading]:
    """Put the reading at a time that is not before the last one."""
    last_s, behind_s, read_s = belief.at_s, belief.behind_s, time_s(reading.at_s)
    now_s = (last_s or 0.0) if read_s is None else read_s + behind_s
    if last_s is not None and now_s < last_s:
        behind_s += last_s - now_s if last_s - now_s > _LATE_S else 0.0
        now_s = last_s
    sampled_s = reading.thermal.at_s
    thermal = replace(reading.thermal, at_s=None if sampled_s is None else min(sampled_s + behind_s, now_s))
    return replace(belief, at_s=now_s, behind_s=behind_s), replace(reading, at_s=now_s, thermal=thermal)


def _with_load(belief: Belief, reading: Reading) -> tuple[Belief, Reading]:
    """Remember the load, and fill short gaps in it."""
    now_s, cpu, power, last = reading.at_s, reading.cpu, reading.power, belief.load
    load = KnownLoad(
        _known(cpu.percent, last.percent, now_s), _known(cpu.own_percent, last.own_percent, now_s),
        _known(cpu.gpu_percent, last.gpu_percent, now_s), _known(power.watts or None, last.watts, now_s),
    )  # fmt: skip
    cpu = replace(cpu, percent=_value(load.percent), own_percent=_value(load.own_percent),
                  gpu_percent=_value(load.gpu_percent))  # fmt: skip
    return replace(belief, load=load), replace(reading, cpu=cpu, power=replace(power, watts=_value(load.watts) or {}))


def _known(value: _T | None, last: tuple[float, _T] | None, now_s: float) -> tuple[float, _T] | None:
    if value is not None:
        return now_s, value
    return last if last is not None and now_s - last[0] <= _BRIDGE_S else None


def _value(known: tuple[float, _T] | None) -> _T | None:
    return None if known is None else known[1]


def _with_sample(belief: Belief, reading: Reading, expected_c: float | None) -> Belief:
    now_s, temp_c = reading.at_s, reading.thermal.soc_temp_c
    at_s = reading.thermal.at_s if reading.thermal.at_s is not None else now_s
    before = belief.samples
    if temp_c is None or (before and at_s <= before[-1].at_s):
        return belief
    samples = (*before, TimedTemperature(at_s, temp_c))[-_SAMPLES:]
    first_s = at_s if belief.first_s is None else belief.first_s
    known = expected_c is not None and at_s - first_s > _YOUNG_S
    best = _best(belief.best, samples, expected_c, _KNOWN_RATE_C_S if known else _RATE_C_S)
    return replace(belief, samples=samples, best=best, first_s=first_s)


def _best(
    best: TimedTemperature | None, samples: tuple[TimedTemperature, ...], expected_c: float | None, rate_c_s: float
) -> TimedTemperature:
    """Choose between the latest sample and what was believed before it, which changes by `rate_c_s` at most."""
    *earlier, latest = samples
    if best is None or _reachable(best, latest, rate_c_s):
        return latest
    if expected_c is not None and abs(latest.temp_c - expected_c) <= _JUMP_C:
        return latest
    unexpected = [sample for sample in earlier if expected_c is None or not _reachable(best, sample, rate_c_s)]
    if any(_supports(sample, latest, expected_c is not None) for sample in unexpected):
        return latest
    if len(samples) < _SAMPLES:
        return min(best, latest, key=lambda sample: sample.temp_c)
    if latest.at_s - best.at_s <= _CONTRADICTED_S:
        return best
    return TimedTemperature(latest.at_s, median(sample.temp_c for sample in samples))


def _supports(earlier: TimedTemperature, latest: TimedTemperature, modelled: bool) -> bool:
    shown = modelled and earlier.temp_c == latest.temp_c and latest.at_s - earlier.at_s < _SHOWN_S
    return _reachable(earlier, latest, _RATE_C_S) and not shown


def _reachable(earlier: TimedTemperature, later: TimedTemperature, rate_c_s: float) -> bool:
    return abs(later.temp_c - earlier.temp_c) <= _JUMP_C + rate_c_s * abs(later.at_s - earlier.at_s)


def _temp_c(belief: Belief, reading: Reading) -> float | None:
    if belief.best is None:
        return None
    usable_s = _STALE_S if reading.thermal.soc_temp_c is not None else _BRIDGE_S
    return belief.best.temp_c if reading.at_s - belief.samples[-1].at_s <= usable_s else None
