"""How close to the board's throttling temperature the target may be: closer where the temperature has proved steady.

Rules of this file:
- The usual distance leaves room for what a board may do. Where the temperature has stayed at the target for minutes
  without exceeding it noticeably, less room is needed, and each degree is worth several percent of the frames.
- Others' load that comes and goes, and a temperature far above the target, restore the usual distance at once. One a
  little above it restores a part, so that the duty does not swing.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.governor.heat import towards

_MOST_C, _BACK_C = 0.6, 0.2
_CALM_S, _C_S = 180.0, 0.01
"""Seconds at the target before it rises, and how quickly."""
_AT_C, _OVER_C, _FAR_C = 1.0, 0.6, 1.5
"""From this far below the target, and to this far above it, the temperature is at the target."""
_AGAIN_S = 20.0
_AVERAGE_S, _CHANGE, _RESTLESS_S = 60.0, 0.15, 1200.0
"""Others' load that differs from its average by this part of the CPU is restless for so long."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """How much less than the usual distance to the throttling temperature is kept."""

    closer_c: float = 0.0
    calm_s: float = 0.0
    """Time at the target; negative: the time until it counts again."""
    others: float = 0.0
    """CPU use by others, 0-1, smoothed."""


def next_nearness(near: Nearness, over_c: float, others: float | None, step_s: float) -> Nearness:
    """Return the nearness after one more second; `over_c`: the temperature relative to the target in effect, °C;
    `others`: CPU use by other programs, 0-1; None: unknown."""
    others = near.others if others is None else others
    average = towards(near.others, others, step_s, _AVERAGE_S)
    if abs(others - average) > _CHANGE:
        return Nearness(0.0, -_RESTLESS_S, average)
    if over_c > _FAR_C:
        return Nearness(0.0, min(near.calm_s, 0.0), average)
    if over_c > _OVER_C and near.calm_s >= _AGAIN_S:
        return Nearness(max(0.0, near.closer_c - _BACK_C), 0.0, average)
    if over_c < -_AT_C:
        return Nearness(near.closer_c, min(near.calm_s + step_s, 0.0) if near.calm_s < 0 else near.calm_s, average)
    more_c = _C_S * step_s if near.calm_s >= _CALM_S and over_c <= _OVER_C else 0.0
    return Nearness(min(near.closer_c + more_c, _MOST_C), near.calm_s + step_s, average)
