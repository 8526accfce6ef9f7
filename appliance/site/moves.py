"""Which cameras move to another device now: a pure function.

Rules of this file:
- A drained device moves everybody, a few a second; one that stops has no time for that and moves all at once.
- Heat and balance move only cameras that have been here for `settle_s`, so no camera moves more often than that,
  whatever the devices decide. A device that has just started does not wait so long: after a power cut the first one
  that is up gets nearly all cameras of the site.
- A hot device moves a fifth of its cameras, those with the lowest priority first, and then waits for the effect: the
  chip needs a minute to show it. The thresholds at which it begins and ends are far apart. One that processes nothing
  any more moves all of them: they get no results here.
- A device that has more than its share gives cameras to those that have less, one at a time, until it is within a
  camera of its share. A device that comes back is filled this way.
- Only cameras that came through the front can move. The caller names no others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum


class MoveReason(str, Enum):
    """Why a camera moves, as the `moved` event names it."""

    LEAVING = "leaving"
    DRAINING = "draining"
    HOT = "hot"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class MoveRules:
    """When cameras move."""

    settle_s: float = 900.0
    """A camera stays at least this long before heat or balance moves it."""
    fresh_s: float = 600.0
    """Since its start; until then a device waits `fresh_settle_s`."""
    fresh_settle_s: float = 60.0
    hot_below: float = 0.5
    """Headroom below which a device sheds cameras."""
    cool_above: float = 0.8
    """Headroom above which it stops."""
    confirm_s: float = 10.0
    """How long it must be hot, or out of balance, before the first move."""
    effect_s: float = 60.0
    """Between two batches of a hot device."""
    batch: float = 0.2
    """Part of the cameras that a hot device moves in one batch."""
    per_s: int = 3
    """Moves in a second."""
    slack: float = 0.25
    """How far above its share a device may be, and one camera more, before it gives any away."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A camera, and whoever views it under its name, that came through the front."""

    name: str
    priority: int = 0
    here_s: float = 0.0
    """Since it connected."""
    sends: bool = True
    """False: viewers only."""


@dataclass(frozen=True, slots=True)
class OtherDevice:
    """Another device of the site, as the bus reports it."""

    headroom: float
    """0-1; 0: it takes no camera."""
    capacity: float
    """Relative to other devices, such as frames/s."""
    cameras: int


@dataclass(frozen=True, slots=True)
class MoveState:
    """What is remembered between two decisions."""

    hot: bool = False
    crossed_s: float | None = None
    """Since when the headroom has been beyond the threshold that changes `hot`."""
    left: int = 0
    """Moves left of the present batch."""
    next_batch_s: float = 0.0
    uneven_s: float | None = None
    """Since when this device has had more than its share."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One moment; times are monotonic."""

    now_s: float
    headroom: float
    residents: Sequence[Resident]
    capacity: float = 1.0
    up_s: float = math.inf
    """Since this device started."""
    leaving: bool = False
    draining: bool = False
    others: Mapping[str, OtherDevice] = field(default_factory=dict)
    """By name; empty: nothing is known about them."""


@dataclass(frozen=True, slots=True)
class Move:
    """One camera to move. `to`: the device it should go to; None: the front decides."""

    camera: str
    reason: MoveReason
    to: str | None = None


def decide_moves(state: MoveState, seen: Situation, rules: MoveRules) -> tuple[MoveState, tuple[Move, ...]]:
    """The moves of the next second."""
    if seen.leaving or seen.draining:
        reason = MoveReason.LEAVING if seen.leaving else MoveReason.DRAINING
        everyone = sorted(seen.residents, key=_least_first)
        most = len(everyone) if seen.leaving else rules.per_s
        return MoveState(), tuple(Move(one.name, reason) for one in everyone[:most])
    state = _judge_heat(state, seen, rules)
    settle_s = min(rules.settle_s, rules.fresh_settle_s) if seen.up_s < rules.fresh_s else rules.settle_s
    movable = sorted((one for one in seen.residents if one.sends and one.here_s >= settle_s), key=_least_first)
    if state.hot:
        return _shed(state, seen, rules, movable)
    return _balance(state, seen, rules, movable)


def fair_share(seen: Situation) -> float:
    """How many of the site's cameras this device should have."""
    density = _density(seen)
    return density * seen.headroom * seen.capacity if density is not None else float(_sending(seen))


def _sending(seen: Situation) -> int:
    return sum(one.sends for one in seen.residents)


def _density(seen: Situation) -> float | None:
    """Cameras of the site for each unit of the capacity that its governors allow; None: they allow none."""
    whole = seen.headroom * seen.capacity + sum(one.headroom * one.capacity for one in seen.others.values())
    cameras = _sending(seen) + sum(one.cameras for one in seen.others.values())
    return cameras / whole if whole > 0 else None


def _least_first(one: Resident) -> tuple[int, float]:
    return one.priority, -one.here_s


def _judge_heat(state: MoveState, seen: Situation, rules: MoveRules) -> MoveState:
    """Whether the device counts as hot, with hysteresis in value and time."""
    beyond = seen.headroom > rules.cool_above if state.hot else seen.headroom < rules.hot_below
    if not beyond:
        return replace(state, crossed_s=None)
    since_s = seen.now_s if state.crossed_s is None else state.crossed_s
    if seen.now_s - since_s < rules.confirm_s:
        return replace(state, crossed_s=since_s)
    return MoveState(hot=not state.hot, next_batch_s=seen.now_s)


def _shed(
    state: MoveState, seen: Situation, rules: MoveRules, movable: Sequence[Resident]
) -> tuple[MoveState, tuple[Move, ...]]:
    cooler = [name for name, one in seen.others.items() if one.headroom > max(seen.headroom, rules.hot_below)]
    if seen.others and not cooler:
        return replace(state, left=0), ()  # nobody can take them; the governor holds the temperature alone
    if seen.now_s >= state.next_batch_s:
        part = rules.batch if seen.headroom > 0 else 1.0
        state = replace(state, left=math.ceil(part * _sending(seen)), next_batch_s=seen.now_s + rules.effect_s)
    now = movable[: min(state.left, rules.per_s)]
    best = _neediest(seen, cooler)
    moves = tuple(Move(one.name, MoveReason.HOT, best) for one in now)
    return replace(state, left=state.left - len(moves)), moves


def _balance(
    state: MoveState, seen: Situation, rules: MoveRules, movable: Sequence[Resident]
) -> tuple[MoveState, tuple[Move, ...]]:
    here, fair = _sending(seen), fair_share(seen)
    begun = state.uneven_s is not None and seen.now_s - state.uneven_s >= rules.confirm_s
    enough = fair + 1 if begun else fair * (1 + rules.slack) + 1
    density = _density(seen) or 0.0
    short = [name for name, one in seen.others.items() if one.cameras + 1 <= density * one.headroom * one.capacity]
    if here <= enough or not short:
        return replace(state, uneven_s=None), ()
    if not begun:
        return replace(state, uneven_s=seen.now_s if state.uneven_s is None else state.uneven_s), ()
    return state, tuple(Move(one.name, MoveReason.BALANCE, _neediest(seen, short)) for one in movable[:1])


def _neediest(seen: Situation, names: Sequence[str]) -> str | None:
    """The device furthest below its share."""
    density = _density(seen) or 0.0

    def lacks(name: str) -> float:
        other = seen.others[name]
        return density * other.headroom * other.capacity - other.cameras

    return max(names, key=lacks, default=None)
