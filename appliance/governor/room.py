"""The memory that is still available, read on each call."""

from __future__ import annotations

from pathlib import Path

import psutil

from appliance.device.sensors import memory
from appliance.governor.memory import room_bytes


class Room:
    """A callable that returns available bytes; None: unknown. `root`: the folder that contains /proc and /sys."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._files, self._process = memory.find(root), psutil.Process()

    def __call__(self) -> int | None:
        """Return the memory available below every limit, MemoryHigh= included: above that the kernel stalls every
        thread of the service to reclaim memory."""
        try:
            now = memory.read(self._files, self._process).group
        except (psutil.Error, OSError):
            return None
        room = room_bytes(now)
        if room is None or now.cgroup_high_bytes is None or now.cgroup_used_bytes is None:
            return room
        return min(room, max(0, now.cgroup_high_bytes - now.cgroup_used_bytes))
