"""What contradicts the sensors: a temperature that no load moves, and a chip that is slower than it was.

Rules of this file:
- A die follows its own load within a minute, whatever fan and housing do. A temperature that stays within half a degree
  although CPU use changed within three minutes, and kept to the new value, is stuck. Slow changes prove nothing: a
  governor that trims the load as the weather changes holds the temperature still. Nor does steady load, except that
  an idle chip does not stay very hot.
- A temperature that has not moved since the service started, and is too high for any work, can prove nothing by itself:
  there is no load that could change. So a little work is tried now and then, and less of a change is evidence.
- A busy chip runs at its highest clock unless something slows it. The reference is the highest clock, and the shortest
  CPU time of the same work, that this device kept up for a whole minute while busy: a short boost does not count. The
  data sheet's clock is no reference: power modes and power limits are below it.
- A clock that was limited on purpose (scaling_max_freq) is not slow. One that the kernel limits because of heat is,
  and its cooling device says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import exp

from appliance.readings import CoolingDevice, Power, Reading

_SAME_C = 0.5
"""A stuck sensor stays within this; sensors that work move by a step of theirs, up to 1 °C, as soon as load changes."""
_BIN_S, _BINS, _KEPT, _SWING = 10.0, 18, 4, 0.3
"""A change of CPU use within 18 means of 10 s, which the last four have kept to. A board that warms by 3 °C at full
load moves by 0.9 °C with it."""
_NEW_BINS, _NEW_KEPT, _NEW_SWING = 6, 2, 0.15
"""The same for a temperature that has never moved."""
_TRY_AFTER_S, _TRY_EVERY_S, _TRY_S = 60.0, 300.0, 40.0
_IDLE_S, _IDLE_USE, _HOT_C = 600.0, 0.05, 80.0
"""An idle chip this hot for this long. Detection is stopped then, and no change of load can prove anything; if the
sensor does work, it moves as soon as load returns."""
_BUSY_PERCENT = 70.0
"""Below it, a low clock is the frequency governor's choice."""
_NOW_S, _SUSTAINED_S = 5.0, 60.0
_SLOW_RATIO = 0.8
"""Other work on the same caches costs a tenth; a chip that is throttled for long falls to two thirds and below."""
_CHANGE_S = 15.0
"""A contradiction counts, and ends, after this long."""
_LONGEST_STEP_S = 30.0
_PROCESSOR = re.compile(r"processor|.*cpufreq.*|.*cpu-?idle.*|intel_powerclamp", re.IGNORECASE)
"""Cooling devices of the kernel that slow the processor; fans have other names."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One measure of how fast the chip works while it is busy; higher is faster."""

    now: float = 0.0
    """Smoothed over a few seconds."""
    busy_s: float = 0.0
    slowest: float = 0.0
    """The lowest value of `now` in the current minute under load."""
    best: float | None = None
    """The highest of these lowest values."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against the sensors so far."""

    at_s: float | None = None
    low_c: float = float("inf")
    high_c: float = float("-inf")
    since_s: float = 0.0
    """The temperature has stayed between these two since then."""
    uses: tuple[float, ...] = ()
    """CPU use, 0-1, in the last three of these minutes: means of 10 s."""
    sum: float = 0.0
    sum_s: float = 0.0
    """The mean that is not complete yet: use times seconds, and seconds."""
    moved: bool = False
    """Whether the temperature has ever left them."""
    stuck: bool = False
    """Whether the temperature does not follow the load."""
    clock: Speed = Speed()
    work: Speed = Speed()
    slow: bool = False
    """Whether the chip is slower than it should be."""
    changing_since_s: float | None = None
    """Since when readings have contradicted `slow`."""


def question(doubt: Doubt, reading: Reading, temp_c: float | None) -> Doubt:
    """Return the doubts after one more reading, whose temperature is believed to be `temp_c`."""
    now_s, percent = reading.at_s, reading.cpu.percent
    step_s = 0.0 if doubt.at_s is None else min(max(now_s - doubt.at_s, 0.0), _LONGEST_STEP_S)
    if doubt.at_s is not None and not step_s:
        return doubt
    doubt = _follow_speed(replace(doubt, at_s=now_s), reading, step_s)
    if temp_c is None or percent is None:
        return doubt
    return _follow_temperature(doubt, temp_c, percent / 100, step_s, doubt.slow or _reported(reading.power))


def wants_a_try(doubt: Doubt, now_s: float) -> bool:
    """Whether a little work would show if a temperature that has never moved is stuck."""
    still_s = now_s - doubt.since_s - _TRY_AFTER_S
    return not doubt.moved and not doubt.stuck and still_s >= 0 and still_s % _TRY_EVERY_S < _TRY_S


def _follow_temperature(doubt: Doubt, temp_c: float, use: float, step_s: float, slowed: bool) -> Doubt:
    """Compare use with a temperature that does not move. A throttled chip may be held at one temperature."""
    low_c, high_c = min(doubt.low_c, temp_c), max(doubt.high_c, temp_c)
    if high_c - low_c > _SAME_C or doubt.at_s is None or (slowed and not doubt.stuck):
        return replace(
            doubt, low_c=temp_c, high_c=temp_c, since_s=doubt.at_s or 0.0, uses=(), sum=0.0, sum_s=0.0,
            stuck=False, moved=doubt.moved or high_c - low_c > _SAME_C,
        )  # fmt: skip
    since_s = doubt.since_s if doubt.high_c >= doubt.low_c else doubt.at_s
    doubt = replace(doubt, low_c=low_c, high_c=high_c, since_s=since_s)
    total, total_s = doubt.sum + use * step_s, doubt.sum_s + step_s
    if total_s < _BIN_S:
        return replace(doubt, sum=total, sum_s=total_s)
    mean = total / total_s
    doubt = replace(
        doubt, uses=(*doubt.uses, mean)[-_BINS:], sum=0.0, sum_s=0.0
    )  # fmt: skip
    return replace(doubt, stuck=doubt.stuck or _swung(doubt) or _too_hot_to_be_idle(doubt, doubt.at_s or 0.0))


def _swung(doubt: Doubt) -> bool:
    """Whether use has changed, and kept to it, while the temperature has not."""
    bins, kept, swing = (_BINS, _KEPT, _SWING) if doubt.moved else (_NEW_BINS, _NEW_KEPT, _NEW_SWING)
    if len(doubt.uses) < bins:
        return False
    earlier, now = doubt.uses[:-kept], doubt.uses[-kept:]
    return max(earlier) - max(now) >= swing or min(now) - min(earlier) >= swing


def _too_hot_to_be_idle(doubt: Doubt, now_s: float) -> bool:
    return doubt.low_c >= _HOT_C and max(doubt.uses) <= _IDLE_USE and now_s - doubt.since_s >= _IDLE_S


def _follow_speed(doubt: Doubt, reading: Reading, step_s: float) -> Doubt:
    cpu = reading.cpu
    busy = cpu.percent is not None and cpu.percent >= _BUSY_PERCENT
    clock = _measured(doubt.clock, cpu.mhz if busy else None, step_s)
    work = _measured(doubt.work, 1 / cpu.work_ms if busy and cpu.work_ms else None, step_s)
    limited = min(1.0, cpu.limit_mhz / clock.best) if cpu.limit_mhz and clock.best else 1.0
    slow = busy and (_slow(clock, limited) or _slow(work, limited) or _held_by_kernel(reading.thermal.cooling))
    since_s = None
    if slow != doubt.slow:
        since_s = doubt.changing_since_s if doubt.changing_since_s is not None else reading.at_s
        if reading.at_s - since_s >= _CHANGE_S:
            return replace(doubt, clock=clock, work=work, slow=slow, changing_since_s=None)
    return replace(doubt, clock=clock, work=work, changing_since_s=since_s)


def _measured(speed: Speed, value: float | None, step_s: float) -> Speed:
    """Follow a speed; None: unknown, or the chip is not busy."""
    if value is None:
        return replace(speed, busy_s=0.0)
    if not speed.busy_s:
        return replace(speed, now=value, slowest=value, busy_s=max(step_s, 0.001))
    now, busy_s = _towards(speed.now, value, step_s, _NOW_S), speed.busy_s + step_s
    slowest = min(speed.slowest, now)
    if busy_s >= _SUSTAINED_S:
        return Speed(now, 0.001, now, max(speed.best or 0.0, slowest))
    return replace(speed, now=now, busy_s=busy_s, slowest=slowest)


def _slow(speed: Speed, limited: float) -> bool:
    """Whether a busy chip is slower than it was and than its limit allows."""
    return bool(speed.busy_s) and speed.best is not None and speed.now < _SLOW_RATIO * limited * speed.best


def _held_by_kernel(cooling: tuple[CoolingDevice, ...]) -> bool:
    return any(device.state > 0 and _PROCESSOR.fullmatch(device.name) for device in cooling)


def _reported(power: Power) -> bool:
    """Whether the board says that it slows the chip."""
    return bool(power.throttled or power.frequency_capped or power.under_voltage)


def _towards(value: float, target: float, step_s: float, over_s: float) -> float:
    return target + (value - target) * exp(-step_s / over_s)
