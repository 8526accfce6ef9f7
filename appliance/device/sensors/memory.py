"""Memory: of the machine and this process by psutil, and of the control group whose limit may end us.

Rules of this file:
- Cache is not use. A service that reads much fills its group with pages of files, which the kernel takes back before it
  ends anything; counted as use they look like a leak. So the active and inactive pages of files are told apart from the
  rest. (`cache` and `file` in memory.stat are not that: they hold shared memory too, which nobody can take back.)
- v1: Documentation/admin-guide/cgroup-v1/memory.rst; v2: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.cgroups import hierarchies
from appliance.device.sensors import pressure
from appliance.device.sensors.group import Answer, answer
from appliance.readings import Memory

_NO_GROUP = "this process is in no control group that counts memory"
_ABSENT = {
    "available_bytes": "/proc/meminfo cannot be read",
    "total_bytes": "/proc/meminfo cannot be read",
    "swap_used_bytes": "/proc/meminfo cannot be read",
    "swap_total_bytes": "/proc/meminfo cannot be read",
    "resident_bytes": "/proc/self cannot be read",
    "cgroup_used_bytes": _NO_GROUP,
    "cgroup_cache_bytes": _NO_GROUP,
    "cgroup_limit_bytes": "no limit is set",
    "cgroup_high_bytes": "no limit is set",
    "pressure_percent": pressure.ABSENT,
}
_MOST_BYTES = 1 << 60
"""v1 writes a number above this where there is no limit."""


@dataclass(frozen=True, slots=True)
class Files:
    """The control group of this process, with those above it, and the machine's pressure."""

    version: int
    way_up: tuple[Path, ...]
    """Empty: it is in none."""
    pressure: Path


@dataclass(frozen=True, slots=True)
class _Group:
    used: int | None = None
    cache: int | None = None
    limit: int | None = None
    high: int | None = None


def find(root: Path = Path("/")) -> Files:
    """The control group: of the hierarchies that may count memory, the one that does."""
    for hierarchy in hierarchies("memory", root):
        current = "memory.current" if hierarchy.version == 2 else "memory.usage_in_bytes"
        if kernel_files.text(hierarchy.way_up[0] / current) is not None:
            return Files(hierarchy.version, hierarchy.way_up, root / "proc/pressure/memory")
    return Files(0, (), root / "proc/pressure/memory")


def read(files: Files, process: psutil.Process) -> Answer[Memory]:
    """The memory now. Raises psutil.Error and OSError where /proc cannot be read at all."""
    machine, swap = psutil.virtual_memory(), psutil.swap_memory()
    group = _group(files)
    return answer(
        Memory(
            available_bytes=machine.available,
            total_bytes=machine.total,
            swap_used_bytes=swap.used,
            swap_total_bytes=swap.total,
            resident_bytes=process.memory_info().rss,
            cgroup_used_bytes=group.used,
            cgroup_cache_bytes=group.cache,
            cgroup_limit_bytes=group.limit,
            cgroup_high_bytes=group.high,
            pressure_percent=pressure.percent(files.pressure),
        ),
        _ABSENT,
    )


def _group(files: Files) -> _Group:
    if not files.way_up:
        return _Group()
    own = files.way_up[0]
    stat = dict(line.split(" ", 1) for line in kernel_files.lines(own / "memory.stat") if " " in line)
    if files.version == 2:
        current, prefix = _bytes(kernel_files.text(own / "memory.current")), ""
        limit = _least(_bytes(kernel_files.text(folder / "memory.max")) for folder in files.way_up)
        high = _least(_bytes(kernel_files.text(folder / "memory.high")) for folder in files.way_up)
    else:
        current, prefix = _bytes(kernel_files.text(own / "memory.usage_in_bytes")), "total_"
        limit, high = _bytes(stat.get("hierarchical_memory_limit")), None
    active, inactive = (_bytes(stat.get(f"{prefix}{kind}_file")) for kind in ("active", "inactive"))
    if current is None or active is None or inactive is None:
        return _Group(limit=limit, high=high)
    return _Group(max(0, current - active - inactive), active + inactive, limit, high)


def _bytes(text: str | None) -> int | None:
    """None for `max`, for a limit that is none, and for nonsense."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 20:
        return None
    value = int(text)
    return value if value < _MOST_BYTES else None


def _least(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
