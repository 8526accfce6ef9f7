"""Each camera's fair share of the engine, as the interval it is asked to keep: pure arithmetic.

A frame of a camera costs `cost_s` of one engine slot. With `slots` slots there are `slots` seconds of engine a second;
a camera of weight w among the active ones gets w / sum(weights) of them, so its frames may come every
cost_s * sum(weights) / (w * slots * USE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

USE = 0.9
"""Part of the engine that is given away at most: the rest absorbs jitter, so that who obeys is never skipped."""

CHANGE = 0.2
"""A camera is told a new interval only when it differs this much: the limits do not flutter."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one sending camera needs: engine time a frame (s) and its weight."""

    cost_s: float
    weight: float = 1.0
    floor_s: float = 0.0
    """It never sends faster than this, s."""


def fair_intervals(demands: Mapping[str, Demand], slots: int, use: float = USE) -> dict[str, float]:
    """Seconds between two frames for each camera; what a slow camera leaves is shared among the others.

    `use`: part of the engine that is given away, 0-1; of nothing there are no shares.
    """
    budget = slots * use
    if budget <= 0:
        return {}
    open_ = dict(demands)
    intervals: dict[str, float] = {}
    while open_:
        weights = sum(demand.weight for demand in open_.values())
        slow = {
            name: demand
            for name, demand in open_.items()
            if demand.floor_s > 0 and demand.floor_s >= demand.cost_s * weights / (demand.weight * budget)
        }
        if not slow:
            for name, demand in open_.items():
                intervals[name] = demand.cost_s * weights / (demand.weight * budget)
            break
        for name, demand in slow.items():
            intervals[name] = demand.floor_s
            budget -= demand.cost_s / demand.floor_s
            del open_[name]
    return intervals


def changed(told_s: float | None, fair_s: float) -> bool:
    """Whether a camera that was told one interval should be told this one."""
    if told_s is None:
        return True
    return abs(fair_s - told_s) > CHANGE * max(told_s, 1e-3)
