"""What the governor believes of a reading: one bad sample of the temperature changes nothing.

Rules of this file:
- A temperature that a chip can have reached since the last one is believed at once. One that cannot be, such as 85 °C
  from a sensor that was just switched on, is believed when one of the two samples before it supports it. A true jump
  therefore counts with its second sample. If samples only contradict each other, their median counts.
- A value that no working chip has (0, NaN, 999) is a drop-out. Drop-outs are bridged for a few seconds with what was
  believed before.
- A temperature that the load contradicts (doubt.py) is unknown.
- A reading shown twice is one sample: it cannot support itself.
- CPU use outside 0 to 100 % is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite
from statistics import median

from appliance.governor.doubt import Doubt, question
from appliance.readings import Cpu, Doubts, Reading

_JUMP_C, _RATE_C_S = 3.0, 3.0
"""A believed temperature moves at most this far, and this far for each second since the last one. Chips do move faster
for a second or two, when a load starts on a small die; they are believed a second later."""
_SAMPLES = 3
_CONTRADICTED_S = 2.5
"""After this long without a sample that fits, the median counts."""
_BRIDGE_S = 5.0
"""Drop-outs of this length change nothing; a chip moves a few degrees in that time."""
_STALE_S = 10.0
"""The believed temperature is unknown when the last sample is older than this."""
_MIN_C, _MAX_C = -40.0, 130.0


@dataclass(frozen=True, slots=True)
class TimedTemperature:
    """One temperature as the sensor reported it."""

    at_s: float
    temp_c: float


@dataclass(frozen=True, slots=True)
class Belief:
    """What earlier readings say about the next one."""

    samples: tuple[TimedTemperature, ...] = ()
    """The last plausible temperatures as read, oldest first."""
    best: TimedTemperature | None = None
    """The believed temperature, and when a sample last supported it."""
    confirmed: bool = False
    """Whether more than one sample has been seen. Nothing can support or contradict the first one, which is often the
    wrong one: nothing drastic may rest on it."""
    doubt: Doubt = field(default_factory=Doubt)


def believe(belief: Belief, reading: Reading) -> tuple[Belief, Reading]:
    """Return the belief after one more reading, and the reading with what is believed in place of what was read."""
    belief, cpu = _with_sample(belief, reading), _usable(reading.cpu)
    temp_c = _temp_c(belief, reading)
    doubt = question(belief.doubt, replace(reading, cpu=cpu), temp_c)
    stuck_c, unknown = (temp_c if doubt.stuck else None), reading.unknown
    if stuck_c is not None:
        temp_c = None
        unknown = {**unknown, "thermal.soc_temp_c": f"the sensor reports {stuck_c:.0f} °C whatever the load"}
    return replace(belief, doubt=doubt), replace(
        reading, thermal=replace(reading.thermal, soc_temp_c=temp_c), cpu=cpu, unknown=unknown,
        doubts=Doubts(stuck_c, doubt.slow),
    )  # fmt: skip


def _with_sample(belief: Belief, reading: Reading) -> Belief:
    now_s, temp_c = reading.at_s, _plausible(reading.thermal.soc_temp_c)
    at_s = reading.thermal.at_s if reading.thermal.at_s is not None else now_s
    before = belief.samples
    if temp_c is None or (before and at_s <= before[-1].at_s):
        return belief
    samples = (*before, TimedTemperature(at_s, temp_c))[-_SAMPLES:]
    return replace(belief, samples=samples, best=_best(belief.best, samples), confirmed=bool(before))


def _best(best: TimedTemperature | None, samples: tuple[TimedTemperature, ...]) -> TimedTemperature:
    """Choose between the latest sample and what was believed before it."""
    *earlier, latest = samples
    if best is None or any(_reachable(sample, latest) for sample in (best, *earlier)):
        return latest
    if len(samples) < _SAMPLES:
        return min(best, latest, key=lambda sample: sample.temp_c)
    if latest.at_s - best.at_s <= _CONTRADICTED_S:
        return best
    return TimedTemperature(latest.at_s, median(sample.temp_c for sample in samples))


def _reachable(earlier: TimedTemperature, later: TimedTemperature) -> bool:
    return abs(later.temp_c - earlier.temp_c) <= _JUMP_C + _RATE_C_S * (later.at_s - earlier.at_s)


def _temp_c(belief: Belief, reading: Reading) -> float | None:
    if belief.best is None:
        return None
    usable_s = _STALE_S if _plausible(reading.thermal.soc_temp_c) is not None else _BRIDGE_S
    return belief.best.temp_c if reading.at_s - belief.samples[-1].at_s <= usable_s else None


def _plausible(temp_c: float | None) -> float | None:
    """None for a temperature outside a working chip's range, and for 0, which an unpowered sensor reports."""
    return temp_c if temp_c is not None and _MIN_C <= temp_c <= _MAX_C and temp_c != 0.0 else None


def _usable(cpu: Cpu) -> Cpu:
    return replace(
        cpu, percent=_percent(cpu.percent), own_percent=_percent(cpu.own_percent), mhz=_positive(cpu.mhz),
        limit_mhz=_positive(cpu.limit_mhz), work_ms=_positive(cpu.work_ms),
    )  # fmt: skip


def _positive(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) and value > 0 else None


def _percent(value: float | None) -> float | None:
    if value is None or not isfinite(value) or not -0.5 <= value <= 100.5:
        return None
    return min(max(value, 0.0), 100.0)
