"""The memory that can still be taken, read when it is asked for."""

from __future__ import annotations

from pathlib import Path

import psutil

from appliance.device.sensors import memory
from appliance.governor.memory import room_bytes


class Room:
    """Bytes; None: unknown. `root`: where /proc and /sys lie."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._files, self._process = memory.find(root), psutil.Process()

    def __call__(self) -> int | None:
        """Also below MemoryHigh=: above it the kernel holds up every thread of the service to get memory back."""
        try:
            now = memory.read(self._files, self._process).group
        except (psutil.Error, OSError):
            return None
        room = room_bytes(now)
        if room is None or now.cgroup_high_bytes is None or now.cgroup_used_bytes is None:
            return room
        return min(room, max(0, now.cgroup_high_bytes - now.cgroup_used_bytes))
