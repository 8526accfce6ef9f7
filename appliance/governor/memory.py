"""The stages of memory shortage: what the service gives up, long before the kernel kills it.

Rules of this file:
- Available memory is what the machine has left or what the control group allows, whichever is less; the file cache
  counts as available. Above its soft limit (MemoryHigh=) the kernel stalls every thread of the group to reclaim memory,
  so it counts like the hard one, but frames are refused only where the kernel would kill the service.
- What nobody notices goes first (cached results, unused input sizes), then parallel work, then new cameras, and frames
  last. A stage starts at once, however many stages away; recovery is one stage at a time, with clearly more memory.
- Unknown available memory never ends a stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.readings import Memory
from appliance.values import Limits

CACHE, SIZES, IN_FLIGHT, NEWCOMERS, FRAMES = 1, 2, 3, 4, 5
STAGES = (
    "sufficient", "cache cleared", "unused input sizes released", "one frame at a time", "new cameras refused",
    "frames refused",
)  # fmt: skip

_ROOM = ((FRAMES, 0.5), (NEWCOMERS, 0.75), (IN_FLIGHT, 1.0), (SIZES, 1.5), (CACHE, 2.0))
"""A stage starts below this part of the setting."""
_STALLED_PERCENT = ((IN_FLIGHT, 40.0), (SIZES, 20.0))
"""It also starts when tasks wait for memory this part of the time (PSI, `some`, 10 s), whatever the counters show."""
_BACK = 1.25
"""A stage ends with this many times the memory it started with."""
_DWELL_S = 10.0
_LEAST_PART = 8
"""The setting counts as at most an eighth of the machine's or control group's memory."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """The current stage, and when it started."""

    stage: int = 0
    since_s: float = float("-inf")


def room_bytes(memory: Memory) -> int | None:
    """Memory that can be allocated before the kernel stalls or kills the service; None: unknown."""
    rooms = (_hard_room_bytes(memory), _below(memory.cgroup_high_bytes, memory))
    return min((room for room in rooms if room is not None), default=None)


def _hard_room_bytes(memory: Memory) -> int | None:
    rooms = (memory.available_bytes, _below(memory.cgroup_limit_bytes, memory))
    return min((room for room in rooms if room is not None), default=None)


def _below(limit: int | None, memory: Memory) -> int | None:
    """What the control group may still use below one of its limits; None: unknown, or no limit."""
    if limit is None or memory.cgroup_used_bytes is None:
        return None
    return max(0, limit - memory.cgroup_used_bytes)


def next_shortage(shortage: Shortage, memory: Memory, now_s: float, min_available_bytes: int) -> Shortage:
    """Return the stage after one more reading. `min_available_bytes`: available memory below which load is reduced."""
    stage = _stage(memory, min_available_bytes, 1.0)
    if stage is None:
        return shortage
    if stage > shortage.stage:
        return Shortage(stage, now_s)
    if shortage.stage == 0 or now_s - shortage.since_s < _DWELL_S:
        return shortage
    kept = _stage(memory, min_available_bytes, _BACK)
    if kept is not None and kept < shortage.stage:
        return Shortage(shortage.stage - 1, now_s)
    return shortage


def within(limits: Limits, stage: int) -> Limits:
    """Restrict limits to what a stage of memory shortage allows."""
    return replace(
        limits,
        cache_part=0.0 if stage >= CACHE else limits.cache_part,
        most_sizes=1 if stage >= SIZES else limits.most_sizes,
        next_side=0 if stage >= SIZES else limits.next_side,
        max_in_flight=1 if stage >= IN_FLIGHT else limits.max_in_flight,
        new_cameras=limits.new_cameras and stage < NEWCOMERS,
        admit=limits.admit and stage < FRAMES,
    )


def _stage(memory: Memory, min_available_bytes: int, factor: float) -> int | None:
    room, hard_room = room_bytes(memory), _hard_room_bytes(memory)
    stalled = memory.pressure_percent
    if room is None and stalled is None:
        return None
    totals = [total for total in (memory.total_bytes, memory.cgroup_limit_bytes, memory.cgroup_high_bytes) if total]
    least = min([min_available_bytes, *(total // _LEAST_PART for total in totals)])
    by_stall = (stage for stage, percent in _STALLED_PERCENT if stalled is not None and stalled * factor >= percent)
    soft = min(_stage_of(room, factor * least), NEWCOMERS)
    return max(soft, _stage_of(hard_room, factor * least), next(by_stall, 0))


def _stage_of(room: int | None, least: float) -> int:
    return next((stage for stage, part in _ROOM if room is not None and room < part * least), 0)
