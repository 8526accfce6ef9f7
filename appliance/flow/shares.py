"""Compute each camera's fair share of the engine, as the interval requested from it.

A frame of a camera costs `cost_s` of one engine slot. With `slots` slots there are `slots` seconds of engine a second;
a camera of weight w among the active ones gets w / sum(weights) of them, so its frames may come every
cost_s * sum(weights) / (w * slots * USE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

USE = 0.9
"""Largest part of the engine to allocate. The rest absorbs jitter, so that cameras that keep to their limits are never
skipped."""

CHANGE = 0.2
"""Smallest relative change of an interval that is announced, so that limits do not flutter."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one sending camera needs: engine time per frame (s) and its weight."""

    cost_s: float
    weight: float = 1.0
    floor_s: float = 0.0
    """The camera never sends faster than this, s."""


def fair_intervals(demands: Mapping[str, Demand], slots: int, use: float = USE) -> dict[str, float]:
    """The interval of each camera, s. What a slow camera leaves unused is shared among the others.

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


def changed(announced_s: float | None, fair_s: float) -> bool:
    """Whether the announced interval differs enough from this one to announce it again."""
    if announced_s is None:
        return True
    return abs(fair_s - announced_s) > CHANGE * max(announced_s, 1e-3)
