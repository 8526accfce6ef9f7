"""What is given up as memory gets short: a stage after the other, long before the kernel ends the service.

Rules of this file:
- Room is what the machine has left or what the control group allows, whichever is less; the file cache counts as room.
- What nobody notices goes first (answers kept, input sizes that are not in use), then parallel work, then newcomers, at
  last frames. Into a stage at once, however far; back one stage at a time, after a while with clearly more room.
- Unknown room takes nothing back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.readings import Memory
from appliance.values import Limits

CACHE, SIZES, IN_FLIGHT, NEWCOMERS, FRAMES = 1, 2, 3, 4, 5
STAGES = ("enough", "cache emptied", "unused input sizes dropped", "one frame at a time", "no new cameras", "no frames")

_ROOM = ((FRAMES, 0.5), (NEWCOMERS, 0.75), (IN_FLIGHT, 1.0), (SIZES, 1.5), (CACHE, 2.0))
"""A stage begins with less room than this part of the setting."""
_STALLED_PERCENT = ((IN_FLIGHT, 40.0), (SIZES, 20.0))
"""Or with tasks waiting for memory this part of the time (PSI, `some`, 10 s): it is short whatever the counters say."""
_BACK = 1.25
"""It ends with this many times the room it began with."""
_DWELL_S = 10.0
_LEAST_PART = 8
"""In a small control group the setting counts as an eighth of the whole at the most."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """How far it has come."""

    stage: int = 0
    since_s: float = float("-inf")


def room_bytes(memory: Memory) -> int | None:
    """What can still be taken before the kernel acts; None: unknown."""
    rooms = []
    if memory.available_bytes is not None:
        rooms.append(memory.available_bytes)
    if memory.cgroup_limit_bytes is not None and memory.cgroup_used_bytes is not None:
        rooms.append(max(0, memory.cgroup_limit_bytes - memory.cgroup_used_bytes))
    return min(rooms, default=None)


def next_shortage(shortage: Shortage, memory: Memory, now_s: float, min_available_bytes: int) -> Shortage:
    """The stage after one more reading. `min_available_bytes`: the room below which the box takes less work."""
    wanted = _stage(memory, min_available_bytes, 1.0)
    if wanted is None:
        return shortage
    if wanted > shortage.stage:
        return Shortage(wanted, now_s)
    if shortage.stage == 0 or now_s - shortage.since_s < _DWELL_S:
        return shortage
    kept = _stage(memory, min_available_bytes, _BACK)
    if kept is not None and kept < shortage.stage:
        return Shortage(shortage.stage - 1, now_s)
    return shortage


def within(limits: Limits, stage: int) -> Limits:
    """The limits, as far as memory allows them."""
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
    room = room_bytes(memory)
    stalled = memory.pressure_percent
    if room is None and stalled is None:
        return None
    totals = [total for total in (memory.total_bytes, memory.cgroup_limit_bytes) if total]
    least = min([min_available_bytes, *(total // _LEAST_PART for total in totals)])
    by_room = (stage for stage, part in _ROOM if room is not None and room < part * factor * least)
    by_stall = (stage for stage, percent in _STALLED_PERCENT if stalled is not None and stalled * factor >= percent)
    return max(next(by_room, 0), next(by_stall, 0))
