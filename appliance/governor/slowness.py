"""A chip that is slower than it was, whether or not its board reports that.

Rules of this file:
- A busy chip runs at its usual clock unless something slows it. What is usual is the median of the last minutes in
  which it was as busy with the same kind of load, this service's or others': vector code runs at a lower clock. The
  minutes in which Intel's firmware boosts, and single samples, do not count. Nor does the data sheet's clock: power
  modes and power limits are below it.
- The piece of work may run on a slow core or next to another thread. So the fastest of the last samples is compared
  with the slowest that are usual.
- A chip at its power limit is slowed by that, not by heat.
- A clock that was limited on purpose (scaling_max_freq) is not slow. One that the kernel limits because of heat is,
  and its cooling device says so, however busy the chip is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from statistics import median

from appliance.governor.heat import towards
from appliance.readings import CoolingDevice, Power, Reading

_BUSY_PERCENT = 70.0
"""Below it, a low clock is the frequency governor's choice."""
_NOW_S, _SUSTAINED_S, _BOOST_S = 5.0, 60.0, 128.0
"""Intel's firmware boosts for at most 128 s."""
_MINUTES = 15
_SAMPLE_S, _SAMPLES = 10.0, 5
"""The piece of work is measured this often, and so many samples are compared."""
_AT_LIMIT = 0.95
_SLOW_RATIO = 0.8
"""Other work on the same caches costs a tenth; a chip that is throttled for long falls to two thirds and below."""
_CHANGE_S = 15.0
"""A contradiction counts, and ends, after this long."""
_PROCESSOR = re.compile(r"processor|.*cpufreq.*|.*cpu-?idle.*|intel_powerclamp", re.IGNORECASE)
"""Cooling devices of the kernel that slow the processor; fans have other names."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One measure of how fast the chip works while it is busy; higher is faster."""

    now: float = 0.0
    """The clock smoothed over a few seconds; the fastest of the last samples of the piece of work."""
    samples: tuple[float, ...] = ()
    """The last samples of the piece of work."""
    sampled_s: float = 0.0
    """Busy time since the last of them."""
    busy_s: float = 0.0
    """Time under the present kind of load."""
    minute_s: float = 0.0
    slowest: float = float("inf")
    """The lowest value in the current minute."""
    minutes: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """The lowest values of the last minutes, under others' load and under this service's."""
    own: bool = True
    """Whether the load is this service's."""

    @property
    def usual(self) -> float | None:
        """What is usual for the present kind of load; None: not known yet."""
        minutes = self.minutes[self.own]
        return median(minutes) if minutes else None


@dataclass(frozen=True, slots=True)
class Slowness:
    """Whether the chip is slower than it should be, and what is known of its speed."""

    slow: bool = False
    clock: Speed = Speed()
    work: Speed = Speed()
    changing_since_s: float | None = None
    """Since when readings have contradicted `slow`."""


def follow_speed(slowness: Slowness, reading: Reading, step_s: float) -> Slowness:
    """Return the slowness after one more reading, `step_s` after the last one."""
    cpu = reading.cpu
    busy = cpu.percent is not None and cpu.percent >= _BUSY_PERCENT and not _at_power_limit(reading.power)
    own = cpu.percent is None or cpu.own_percent is None or 2 * cpu.own_percent >= cpu.percent
    clock = _clocked(_under(slowness.clock, own, busy, step_s), cpu.mhz if busy else None, step_s)
    work = _sampled(_under(slowness.work, own, busy, step_s), 1 / cpu.work_ms if busy and cpu.work_ms else None, step_s)
    limited = min(1.0, cpu.limit_mhz / clock.usual) if cpu.limit_mhz and clock.usual else 1.0
    delayed = len(work.samples) == _SAMPLES and _slow(work, limited)
    slow = _held_by_kernel(reading.thermal.cooling) or (busy and (_slow(clock, limited) or delayed))
    since_s = None
    if slow != slowness.slow:
        since_s = slowness.changing_since_s if slowness.changing_since_s is not None else reading.at_s
        if reading.at_s - since_s >= _CHANGE_S:
            slowness, since_s = replace(slowness, slow=slow), None
    keep = not (slow or slowness.slow)
    return replace(slowness, clock=_remember(clock, keep), work=_remember(work, keep), changing_since_s=since_s)


def _under(speed: Speed, own: bool, busy: bool, step_s: float) -> Speed:
    """The speed under this kind of load; another kind starts from scratch, and so does load after a time without."""
    if not busy or own != speed.own:
        return Speed(minutes=speed.minutes, own=own)
    return replace(speed, busy_s=speed.busy_s + step_s)


def _clocked(speed: Speed, mhz: float | None, step_s: float) -> Speed:
    if mhz is None:
        return speed
    now = towards(speed.now, mhz, step_s, _NOW_S) if speed.now else mhz
    return _in_minute(replace(speed, now=now), now, step_s)


def _sampled(speed: Speed, value: float | None, step_s: float) -> Speed:
    """Follow the piece of work. Readings repeat its last sample until there is another."""
    if value is None:
        return speed
    sampled_s = speed.sampled_s + step_s
    if speed.samples and value == speed.samples[-1] and sampled_s < _SAMPLE_S:
        return _in_minute(replace(speed, sampled_s=sampled_s), value, step_s)
    samples = (*speed.samples, value)[-_SAMPLES:]
    return _in_minute(replace(speed, samples=samples, sampled_s=0.0, now=max(samples)), value, step_s)


def _in_minute(speed: Speed, value: float, step_s: float) -> Speed:
    """Note a value for the current minute, unless the chip may still be boosted."""
    if speed.busy_s < _BOOST_S:
        return speed
    return replace(speed, minute_s=speed.minute_s + step_s, slowest=min(speed.slowest, value))


def _remember(speed: Speed, keep: bool) -> Speed:
    """Add the current minute to those that show what is usual, if it is over and the chip was not slow."""
    if speed.minute_s < _SUSTAINED_S:
        return speed
    others, own = speed.minutes
    if keep:
        minutes = (*speed.minutes[speed.own], speed.slowest)[-_MINUTES:]
        others, own = (others, minutes) if speed.own else (minutes, own)
    return replace(speed, minutes=(others, own), minute_s=0.0, slowest=float("inf"))


def _slow(speed: Speed, limited: float) -> bool:
    """Whether a busy chip is slower than usual and than its limit allows."""
    return bool(speed.now) and speed.usual is not None and speed.now < _SLOW_RATIO * limited * speed.usual


def _at_power_limit(power: Power) -> bool:
    return power.limit_w is not None and max(power.watts.values(), default=0.0) >= _AT_LIMIT * power.limit_w


def _held_by_kernel(cooling: tuple[CoolingDevice, ...]) -> bool:
    return any(device.state > 0 and _PROCESSOR.fullmatch(device.name) for device in cooling)
