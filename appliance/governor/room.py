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
        """Return the memory that is available below every limit."""
        try:
            return room_bytes(memory.read(self._files, self._process).group)
        except (psutil.Error, OSError):
            return None
