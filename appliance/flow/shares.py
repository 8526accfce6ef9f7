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

_LONGER, _SHORTER = 1.06, 1.12
"""While the device is hot, a share is announced as an interval this much longer, so that small changes fit in. A share
that has become shorter becomes longer again once the device is warm."""
_LEAST_S = 1e-3
"""Shorter differences are never announced, s."""


@dataclass(frozen=True, slots=True)
class _Band:
    """How far a share may be from what was announced."""

    longer: float
    """A share this many times as long is announced at once: the engine's time is not there."""
    shorter: tuple[tuple[float, float], ...]
    """A share that is shorter by this factor is announced after so many seconds."""


_COOL = _Band(1.2, ((2.0, 5.0), (1.2, 15.0)))
_HOT = _Band(1.08, ((2.0, 10.0), (1.35, 360.0), (1.15, 900.0)))
"""The governor trims the duty continuously; at most twelve announcements an hour follow from that."""


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


def is_due(announced_s: float, share_s: float, age_s: float, *, hot: bool) -> bool:
    """Whether the share has left the band around the interval that was announced `age_s` seconds ago.

    Longer intervals are announced at once, because a camera that keeps to its limits is never skipped; shorter ones
    later, so that limits do not flutter.
    """
    band = _HOT if hot else _COOL
    if share_s > announced_s * band.longer + _LEAST_S:
        return True
    return any(announced_s > share_s * factor + _LEAST_S and age_s >= wait_s for factor, wait_s in band.shorter)


def with_headroom(announced_s: float, share_s: float, floor_s: float) -> float:
    """The interval to announce on a hot device for this share, s; never below the camera's minimum."""
    if share_s > announced_s:
        return share_s * _LONGER
    return max(floor_s, min(announced_s, share_s * _SHORTER))
