"""Compute each camera's fair share of the engine, as the interval requested from it.

A frame of a camera costs `cost_s` of one engine slot. With `slots` slots there are `slots` seconds of engine a second;
a camera of weight w among the active ones gets w / sum(weights) of them, so its frames may come every
cost_s * sum(weights) / (w * slots * use).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Demand:
    """What one sending camera needs: engine time per frame (s) and its weight."""

    cost_s: float
    weight: float = 1.0
    floor_s: float = 0.0
    """The camera never sends faster than this, s."""


def fair_intervals(demands: Mapping[str, Demand], slots: int, use: float) -> dict[str, float]:
    """The interval of each camera, s. What a slow camera leaves unused is shared among the others.

    `use`: part of the engine that is given away; of nothing there are no shares.
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


@dataclass(frozen=True, slots=True)
class InFlightClaim:
    """What one sending camera claims of the frames in flight."""

    weight: float = 1.0
    priority: int = 0
    need: float = 1.0
    """Part of its share that it uses, 0-1."""
    obeys: bool = True


def in_flight_parts(claims: Mapping[str, InFlightClaim], in_flight: int) -> dict[str, int]:
    """How many frames each camera may have in flight: its part by weight, rounded up.

    Cameras of a higher priority do not share with the lower ones. What others do not need is there for a camera that
    keeps to its limits; one that floods would make their frames wait.
    """
    parts = {}
    all_weights: dict[int, float] = {}
    needed: dict[int, float] = {}
    for claim in claims.values():
        all_weights[claim.priority] = all_weights.get(claim.priority, 0.0) + claim.weight
        needed[claim.priority] = needed.get(claim.priority, 0.0) + claim.weight * claim.need
    for name, claim in claims.items():
        weights = needed if claim.obeys else all_weights
        rivals = sum(weight for priority, weight in weights.items() if priority >= claim.priority)
        if claim.obeys:
            rivals += claim.weight * (1 - claim.need)
        parts[name] = ceil(in_flight * claim.weight / rivals - _ROUNDING)
    return parts


def shared(demands: Mapping[str, Demand], needed_s: Mapping[str, float], slots: int, use: float) -> dict[str, float]:
    """The interval of each camera, where the cameras of `needed_s` send only so often, s.

    The others get what those leave. Those keep their fair share, so that they may send more often at any time.
    """
    fair = fair_intervals(demands, slots, use)
    slower = {
        name: replace(demands[name], floor_s=max(demands[name].floor_s, need_s))
        for name, need_s in needed_s.items()
        if need_s > fair.get(name, need_s)
    }
    if not slower or len(slower) == len(demands):
        return fair
    others = fair_intervals({**demands, **slower}, slots, use)
    return {name: fair[name] if name in slower else interval_s for name, interval_s in others.items()}
