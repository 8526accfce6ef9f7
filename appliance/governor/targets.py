"""The limits that the governor keeps, and the temperatures that follow from them on a board.

Rules of this file:
- A board's own trip points always lower target and critical temperature, and raise them where it is followed.
- The target stays a few degrees below the critical temperature, whatever board and settings say.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.governor.ladder import Ladder
from appliance.governor.plausible import chip_temp_c
from appliance.readings import Reading

_MARGIN_C = 2.0
"""Distance to the board's own passive trip point: the chip follows its load within seconds."""
_CRITICAL_MARGIN_C = 3.0
_MIN_TARGET_C = 45.0
"""A trip point that implies a lower target is a firmware error."""
_APART_C = 3.0
"""Least distance of the target to the critical temperature: a target is exceeded by a degree now and then."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits to keep, and the ladder of throttle levels to keep them with; temperatures in °C, times in s."""

    target_temp_c: float
    """The temperature to stay below on a board that reports no trip point."""
    critical_temp_c: float
    min_available_bytes: int
    ladder: Ladder
    follow_board: bool = True
    """Whether a board's own trip points raise target and critical temperature. They always lower them."""
    lowest_clock_percent: int = 100
    """The lowest clock that may be asked for, in percent of the highest; 100: clocks are left alone."""


def target_c(reading: Reading, policy: Policy) -> float:
    """The temperature to stay below: a little below the board's trip point, or the setting where the board reports none
    or is not followed above it. Always a few degrees below the critical temperature."""
    wanted = _by_board(
        chip_temp_c(reading.thermal.passive_temp_c), _MARGIN_C, policy.target_temp_c, policy.follow_board
    )
    return min(wanted, critical_c(reading, policy) - _APART_C)


def critical_c(reading: Reading, policy: Policy) -> float:
    """The temperature at which inference stops: the setting, or less if the board shuts down earlier; more if the board
    throttles so late that its target is near."""
    passive, limit = chip_temp_c(reading.thermal.passive_temp_c), chip_temp_c(reading.thermal.critical_temp_c)
    if passive is not None and limit is not None and limit < passive:
        limit = None  # no board shuts down before it throttles
    off = _by_board(limit, _CRITICAL_MARGIN_C, policy.critical_temp_c, False)
    if not policy.follow_board or passive is None or passive < policy.critical_temp_c:
        return off
    return passive + 1.0 if limit is None else max(off, min(passive + 3.0, limit - _CRITICAL_MARGIN_C))


def _by_board(trip: float | None, margin_c: float, setting_c: float, rise: bool) -> float:
    if trip is None or trip - margin_c < _MIN_TARGET_C:
        return setting_c
    return trip - margin_c if rise else min(setting_c, trip - margin_c)
