"""Estimate how much of the engine can be allocated, from how long it had no frame and how long frames waited.

Rules of this file:
- Pure functions. The engine's time for a frame does not determine the capacity: decoding shares its cores, and cameras
  send a little later than they may. An engine without frames, although a camera uses all that it was given, shows that
  too little was allocated; a line of frames that never empties shows that it was too much.
- One long wait proves nothing: frames of several cameras that arrive at once wait for each other at any load. What
  counts is the shortest wait among many frames, the standing queue (as in CoDel, RFC 8289). Frames of cameras that
  keep to their limits are not replaced meanwhile, so that no frame is lost until it is found.
- The last few percent are tried again after twice the time when that was too much, so that limits do not flutter. Much
  idle time is used soon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

USE = 0.9
"""Part of the engine that can be allocated while idle time is unknown, because other cameras use all of it."""
LEAST, MOST = 0.2, 1.5
"""Above 1: frames in parallel are faster than their engine time says, and cameras send later than they may."""
_FIRST = 0.8
_STANDING, _LONG = 1.5, 5.0
"""Parts of its interval: a shortest wait that shows a standing queue, and a wait that is too long in any case."""
_QUICK = 0.25
_KEPT, _SPARE, _SOME, _MUCH = 0.02, 0.03, 0.06, 0.12
"""Parts of the engine's time without a frame: kept in any case; below the second nothing more is allocated."""
_SETTLE_S, _LATER_S, _STUBBORN_S = 1.0, 4.0, 3.0
_FIRST_PATIENCE_S, _LONGEST_PATIENCE_S = 5.0, 600.0
_CUT, _LARGEST_CUT = 0.96, 0.6
_LARGEST_STEP = 1.25
_CREEP = 1.05
_LATE = 1.15
"""Cameras send later than they may, by this much at most: otherwise they do not want what they may have."""
_SMOOTH = 0.25
_FORGIVEN_S = 300.0


@dataclass(frozen=True, slots=True)
class LoadEvidence:
    """What was seen since the last step. Waits are parts of the waiting camera's interval."""

    shortest_wait: float | None = None
    """None: too few frames of obeying cameras to judge."""
    longest_wait: float = 0.0
    idle: float | None = None
    """Part of the engine's time without a frame, 0-1; None: not measured."""
    spent: float = 0.0
    """Engine time of the finished frames, as a part of what all slots have; read if `idle` was measured."""
    wanted: bool = False
    """Whether a camera uses all that it was given."""
    duty: float = 1.0
    """Part of the engine's time that the governor allows; the rest is meant to be idle."""


@dataclass(frozen=True, slots=True)
class EngineCapacity:
    """The part of the engine to allocate, and what speaks for it."""

    use: float = _FIRST
    idle: float = 0.0
    """Mean since the last change, of the last few seconds."""
    spent: float | None = None
    """Mean of the last few seconds; None: not measured since the cameras or the limits changed."""
    steps: int = 0
    """Steps since the last change."""
    changed_s: float = float("-inf")
    patience_s: float = _FIRST_PATIENCE_S
    """Time until the last few percent are tried again, s."""
    overfull_s: float = float("-inf")
    """When too much was allocated last."""


def adapt(capacity: EngineCapacity, seen: LoadEvidence, now_s: float) -> EngineCapacity:
    """Return the estimate after one more step; its `use` changes only for a reason, so that it can be announced."""
    capacity = _averaged(capacity, seen)
    age_s = now_s - capacity.changed_s
    if age_s < _SETTLE_S / 2:
        return capacity
    standing = seen.shortest_wait is not None and seen.shortest_wait > _STANDING
    if standing or seen.longest_wait > _LONG:
        return _less(capacity, now_s)
    if not seen.wanted or age_s < _until(capacity, now_s):
        return capacity
    if capacity.idle >= _SPARE:
        # If the engine does much less than was allocated, cameras have left, or do not want it: that proves nothing.
        busy = (capacity.spent or 0.0) / max(1 - capacity.idle, 0.1)
        most = min(MOST if seen.duty >= 1 else USE, max(busy, LEAST) * _LATE)
        step = min(_LARGEST_STEP, 1 + capacity.idle - _KEPT)
    elif seen.longest_wait < _QUICK:  # others use what was left idle
        most, step = USE, _CREEP
    else:
        return capacity
    use = min(most, capacity.use * step)
    return capacity if use <= capacity.use else replace(capacity, use=use, changed_s=now_s, steps=0)


def restarted(capacity: EngineCapacity, now_s: float) -> EngineCapacity:
    """The estimate after a change of the limits or of the cameras: idle time until now proves nothing."""
    return replace(capacity, idle=0.0, spent=None, steps=0, changed_s=now_s)


def _less(capacity: EngineCapacity, now_s: float) -> EngineCapacity:
    """Allocate what a saturated engine does; less than that only if the queue stays nevertheless."""
    done = (capacity.use if capacity.spent is None else capacity.spent) * (1 - _KEPT)
    age_s = now_s - capacity.changed_s
    if done >= capacity.use and age_s < _STUBBORN_S:
        return replace(capacity, overfull_s=now_s)  # the queue is being worked off
    use = max(LEAST, capacity.use * _LARGEST_CUT, min(capacity.use * _CUT, done))
    patience_s = capacity.patience_s
    if now_s - capacity.overfull_s > patience_s:  # another queue than the last one
        patience_s = min(_LONGEST_PATIENCE_S, 2 * patience_s)
    return replace(capacity, use=use, steps=0, changed_s=now_s, patience_s=patience_s, overfull_s=now_s)


def _averaged(capacity: EngineCapacity, seen: LoadEvidence) -> EngineCapacity:
    if seen.idle is None or seen.duty <= 0:
        return capacity
    steps, idle = capacity.steps + 1, max(0.0, 1 - (1 - seen.idle) / seen.duty)
    seen_spent = seen.spent / seen.duty
    spent = seen_spent if capacity.spent is None else capacity.spent + (seen_spent - capacity.spent) * _SMOOTH
    mean = capacity.idle + (idle - capacity.idle) * max(_SMOOTH, 1 / steps)
    return replace(capacity, idle=mean, spent=spent, steps=steps)


def _until(capacity: EngineCapacity, now_s: float) -> float:
    """How long to wait after a change before more is allocated, s."""
    if capacity.idle >= _MUCH:
        return _SETTLE_S
    patience_s = capacity.patience_s
    if now_s - capacity.overfull_s > _FORGIVEN_S:
        patience_s = _FIRST_PATIENCE_S
    return min(patience_s, _LATER_S) if capacity.idle >= _SOME else patience_s
