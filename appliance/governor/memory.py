"""The stages of memory shortage: what the service gives up, long before the kernel kills it.

Rules of this file:
- Available memory is what the machine has left or what the control group allows, whichever is less; the file cache
  counts as available. Above its soft limit (MemoryHigh=) the kernel stalls every thread of the group to reclaim memory,
  so it counts like the hard one, but frames are refused only where the kernel would kill the service.
- What nobody notices goes first (cached results, unused input sizes), then parallel work, then new cameras, and frames
  last. A stage starts at once, however many stages away; recovery is one stage at a time, with clearly more memory.
- What a stage gave up is used again after its end. A stage that returns soon after it was ended too early: the next end
  waits twice as long, and until the memory that was used again is available too, with a quarter more. What was used
  meanwhile may have been another program's, so that demand is given up after a long wait.
- Unknown available memory ends no stage, except that no frames are refused for it for longer than some minutes: then
  it is one frame at a time.
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
_DWELL_S, _LONGEST_DWELL_S, _LONGEST_REFUSAL_S = 10.0, 640.0, 160.0
_SOON_S = 300.0
"""A stage that starts within this time after its end returns: unused input sizes take 20 s each to be loaded again."""
_PATIENT, _LONGEST_S = 30, 3600.0
"""After this many times the dwell, a stage ends without the memory that it gave up the last time."""
_UNKNOWN_S = 300.0
"""After this long without a known value, frames are processed one at a time."""
_LEAST_PART = 8
"""The setting counts as at most an eighth of the machine's or control group's memory."""


@dataclass(frozen=True, slots=True)
class StageEnd:
    """How the last end of a stage went."""

    at_s: float = float("-inf")
    room: int | None = None
    """Memory that was available then."""
    dwell_s: float = _DWELL_S
    """The next end is at least this long after the start."""
    used: int = 0
    """Memory that was used again before the stage returned."""


_NEVER = StageEnd()


@dataclass(frozen=True, slots=True)
class Shortage:
    """The current stage, and when it started."""

    stage: int = 0
    since_s: float = float("-inf")
    ends: tuple[StageEnd, ...] = (_NEVER,) * len(STAGES)
    """The last end of each stage."""
    unknown_since_s: float | None = None
    """Since when the available memory has been unknown."""


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
        return _unknown(shortage, now_s)
    shortage = replace(shortage, unknown_since_s=None)
    room = room_bytes(memory)
    if stage > shortage.stage:
        ends = tuple(
            _returned(number, end, room, now_s) if shortage.stage < number <= stage else end
            for number, end in enumerate(shortage.ends)
        )
        return Shortage(stage, now_s, ends)
    end, waited_s = shortage.ends[shortage.stage], now_s - shortage.since_s
    if shortage.stage == 0 or waited_s < end.dwell_s:
        return shortage
    used = end.used if waited_s < min(_PATIENT * end.dwell_s, _LONGEST_S) else 0
    kept = max(
        _stage(memory, min_available_bytes, _BACK) or 0, _stage(memory, min_available_bytes, 1.0, _BACK * used) or 0
    )
    if kept >= shortage.stage:
        return shortage
    ends = (*shortage.ends[: shortage.stage], replace(end, at_s=now_s, room=room), *shortage.ends[shortage.stage + 1 :])
    return Shortage(shortage.stage - 1, now_s, ends)


def _unknown(shortage: Shortage, now_s: float) -> Shortage:
    since_s = now_s if shortage.unknown_since_s is None else shortage.unknown_since_s
    stage = min(shortage.stage, IN_FLIGHT) if now_s - since_s >= _UNKNOWN_S else shortage.stage
    changed_s = shortage.since_s if stage == shortage.stage else now_s
    return replace(shortage, stage=stage, since_s=changed_s, unknown_since_s=since_s)


def _returned(stage: int, end: StageEnd, room: int | None, now_s: float) -> StageEnd:
    """Judge the last end of a stage that starts now."""
    if now_s - end.at_s > max(_SOON_S, 2 * end.dwell_s):
        return _NEVER
    longest_s = _LONGEST_DWELL_S if stage < NEWCOMERS else _LONGEST_REFUSAL_S
    used = end.room - room if end.room is not None and room is not None else 0
    return replace(end, dwell_s=min(2 * end.dwell_s, longest_s), used=max(used, 0))


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


def _stage(memory: Memory, min_available_bytes: int, factor: float, less: float = 0.0) -> int | None:
    """The stage that is due if memory were `less` than it is, at `factor` times the thresholds."""
    room, hard_room = room_bytes(memory), _hard_room_bytes(memory)
    stalled = memory.pressure_percent
    if room is None and stalled is None:
        return None
    totals = [total for total in (memory.total_bytes, memory.cgroup_limit_bytes, memory.cgroup_high_bytes) if total]
    least = min([min_available_bytes, *(total // _LEAST_PART for total in totals)])
    by_stall = (stage for stage, percent in _STALLED_PERCENT if stalled is not None and stalled * factor >= percent)
    soft = min(_stage_of(room, factor * least, less), NEWCOMERS)
    return max(soft, _stage_of(hard_room, factor * least, less), next(by_stall, 0))


def _stage_of(room: int | None, least: float, less: float) -> int:
    return next((stage for stage, part in _ROOM if room is not None and room - less < part * least), 0)
