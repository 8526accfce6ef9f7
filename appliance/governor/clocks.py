"""The clock cap: the same heat in more frames, by working longer at a lower clock.

Rules of this file:
- A busy chip at a part c of its clock does c of the work and makes c² of the heat: voltage falls with the clock. (On
  real chips between c and c³; the governor sees the temperature and corrects the rest.) A budget of heat h thus allows
  h of the frames at full clock, and its square root at the clock that is just busy.
- decide() knows nothing of clocks: its readings are converted to what the same heat would be at full clock, and the
  duty that it allows is converted to the clock in effect.
- The clock rises at once when the budget does, and falls after a while. The heat is the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt

from appliance.readings import Reading
from appliance.values import Limits

_STEP_PERCENT = 5
_DWELL_S = 20.0
_NEAR_FULL = 0.9
"""Caps above this are not worth a change."""


@dataclass(frozen=True, slots=True)
class ClockChoice:
    """The wanted cap, in percent of the highest clock, and since when."""

    percent: int = 100
    since_s: float = float("-inf")


def next_clock(choice: ClockChoice, duty: float, lowest_percent: int, now_s: float) -> ClockChoice:
    """Choose the cap for a part `duty` of the heat at full load, not below `lowest_percent`."""
    percent = fitting_percent(duty, lowest_percent)
    if percent == choice.percent or (percent < choice.percent and now_s - choice.since_s < _DWELL_S):
        return choice
    return ClockChoice(percent, now_s)


def fitting_percent(duty: float, lowest_percent: int) -> int:
    """The lowest clock, in steps of five percent, at which a busy chip makes at least this part of the heat."""
    part = sqrt(min(max(duty, 0.0), 1.0))
    if part > _NEAR_FULL:
        return 100
    return min(100, max(lowest_percent, ceil(round(part * 100 / _STEP_PERCENT, 6)) * _STEP_PERCENT))


def spread(limits: Limits, percent: int) -> Limits:
    """Return the limits for the clock in effect: the engine may work longer, because it makes less heat."""
    return replace(limits, duty=min(1.0, limits.duty / _heat(percent)))


def at_full_clock(reading: Reading, percent: int) -> Reading:
    """Return the reading with the use that would make as much heat at full clock."""
    if percent >= 100:
        return reading
    cpu, heat, busy = reading.cpu, _heat(percent), reading.engine_busy
    return replace(
        reading,
        engine_busy=None if busy is None else busy * heat,
        cpu=replace(
            cpu, percent=_scaled(cpu.percent, heat), own_percent=_scaled(cpu.own_percent, heat),
            gpu_percent=_scaled(cpu.gpu_percent, heat),
        ),
    )  # fmt: skip


def _heat(percent: int) -> float:
    """Heat of a busy chip at this clock, relative to full clock."""
    return (percent / 100) ** 2


def _scaled(use: float | None, heat: float) -> float | None:
    return None if use is None else use * heat
