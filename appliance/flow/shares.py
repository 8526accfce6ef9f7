"""Compute each camera's fair share of the engine, as the interval requested from it.

A frame of a camera costs `cost_s` of one engine slot. With `slots` slots there are `slots` seconds of engine a second;
a camera of weight w among the active ones gets w / sum(weights) of them, so its frames may come every
cost_s * sum(weights) / (w * slots * use).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, exp

_HEADROOM, _SCARCE_HEADROOM = 1.02, 1.08
"""On a hot device, a share is announced as an interval this much longer, so that small changes fit in; the second to a
camera that was sent many."""
_CALM_S, _LESS, _MORE = 120.0, 0.92, 1.25
"""Shares are announced from the duty smoothed over this time; what is beyond these parts of it counts at once."""
_SPARE, _SPARE_S = 3.0, 450.0
"""Announcements that a camera may be sent in a row, and seconds until there is one more: eight an hour."""
_RESERVE, _SCARCE = 2.0, 1.0
"""While a camera may be sent so many, small improvements are announced too; with less than the second, few are left."""
_PROVEN = 1.02
"""Once waits or idle time have changed the capacity, a share is announced from this change on."""
_ROUNDING = 1e-9
_LEAST_S = 1e-3
"""Shorter differences are never announced, s."""


@dataclass(frozen=True, slots=True)
class _Band:
    """How far a share may be from what was announced."""

    longer: float
    """A share this many times as long is announced at once: the engine's time is not there."""
    shorter: tuple[tuple[float, float], ...]
    """A share that is shorter by this factor is announced after so many seconds."""


_COOL = _Band(1.2, ((1.8, 5.0), (1.2, 15.0), (1.015, 300.0)))
_HOT = _Band(1.08, ((2.0, 10.0), (1.35, 360.0), (1.15, 900.0)))
_HOT_SPARE = _Band(1.08, ((2.0, 10.0), (1.07, 120.0)))


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


def calm_duty(calm: float, duty: float, passed_s: float) -> float:
    """The duty to announce shares from, after another one: the governor trims its own every second."""
    if duty >= 1.0 or not _LESS * calm <= duty <= _MORE * calm:
        return duty
    return duty + (calm - duty) * exp(-passed_s / _CALM_S)


def spare_announcements(spare: float | None, age_s: float) -> float:
    """How many announcements a camera may be sent, `age_s` after the last one; None: it was never sent any.

    Longer intervals are announced in any case.
    """
    return _SPARE if spare is None else min(_SPARE, spare + age_s / _SPARE_S)


def is_due(
    announced_s: float,
    share_s: float,
    age_s: float,
    *,
    hot: bool,
    spare: float = 0.0,
    needed_s: float | None = None,
    trend: int = 0,
) -> bool:
    """Whether the share has left the band around the interval that was announced `age_s` seconds ago.

    Longer intervals are announced at once, because a camera that keeps to its limits is never skipped; shorter ones
    later, so that limits do not flutter. `spare`: announcements that the camera may still be sent. `needed_s`: the
    interval of a camera that sends less often than it may; on a hot device it need not hear of a change. `trend`: 1 if
    more, -1 if less capacity than before has just been found.
    """
    if hot and needed_s is not None and needed_s >= max(announced_s, share_s):
        return False
    if trend < 0 and share_s > announced_s * _PROVEN:
        return True
    if trend > 0 and not hot and announced_s > share_s * _PROVEN:
        return True
    band = _COOL if not hot else _HOT_SPARE if spare >= _RESERVE else _HOT
    if share_s > announced_s * band.longer + _LEAST_S:
        return True
    return any(announced_s > share_s * factor + _LEAST_S and age_s >= wait_s for factor, wait_s in band.shorter)


def with_headroom(share_s: float, floor_s: float, spare: float) -> float:
    """The interval to announce on a hot device for this share, s; never below the camera's minimum."""
    return max(floor_s, share_s * (_HEADROOM if spare >= _SCARCE else _SCARCE_HEADROOM))
