"""Memory of the machine and this process (psutil), and of the control group whose limit may get the service killed.

Rules of this file:
- Cache is not usage. A service that reads many files fills its group with page cache, which the kernel reclaims before
  it kills anything; counted as usage, it looks like a leak. Active and inactive file pages are therefore subtracted.
  (`cache` and `file` in memory.stat also contain shared memory, which cannot be reclaimed.)
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
from appliance.device.sensors.group import GroupReading, with_reasons
from appliance.readings import Memory

_NO_GROUP = "this process is in no control group with memory accounting"
_REASONS = {
    "available_bytes": "cannot read /proc/meminfo",
    "total_bytes": "cannot read /proc/meminfo",
    "swap_used_bytes": "cannot read /proc/meminfo",
    "swap_total_bytes": "cannot read /proc/meminfo",
    "resident_bytes": "cannot read /proc/self",
    "cgroup_used_bytes": _NO_GROUP,
    "cgroup_cache_bytes": _NO_GROUP,
    "cgroup_limit_bytes": "no limit set",
    "cgroup_high_bytes": "no limit set",
    "pressure_percent": pressure.REASON,
}
_SMALL_BYTES = 1_500_000_000
_SMALL_LIMIT_BYTES = 800_000_000
_MAX_BYTES = 1 << 60
"""v1 reports a number above this if there is no limit."""


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The control group of this process with its ancestors, and the machine's memory pressure."""

    version: int
    lineage: tuple[Path, ...]
    """The folders of the group and its ancestors; empty: the process is in no such group."""
    pressure: Path


@dataclass(frozen=True, slots=True)
class _Group:
    used: int | None = None
    cache: int | None = None
    limit: int | None = None
    high: int | None = None


def find(root: Path = Path("/")) -> MemoryFiles:
    """Find the control group in the hierarchy that accounts for memory."""
    for hierarchy in hierarchies("memory", root):
        current = "memory.current" if hierarchy.version == 2 else "memory.usage_in_bytes"
        if kernel_files.text(hierarchy.lineage[0] / current) is not None:
            return MemoryFiles(hierarchy.version, hierarchy.lineage, root / "proc/pressure/memory")
    return MemoryFiles(0, (), root / "proc/pressure/memory")


def read(files: MemoryFiles, process: psutil.Process) -> GroupReading[Memory]:
    """Read all memory figures. Raises psutil.Error and OSError if /proc is unreadable."""
    machine, swap = psutil.virtual_memory(), psutil.swap_memory()
    group = _group(files)
    return with_reasons(
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
        _REASONS,
    )


def is_small(reading: Memory) -> bool:
    """Whether this is a board with 1 GB, or the service may use as little as there (systemd/boards/memory-1g.conf)."""
    total, limit = reading.total_bytes, reading.cgroup_limit_bytes
    return (total is not None and total < _SMALL_BYTES) or (limit is not None and limit < _SMALL_LIMIT_BYTES)


def _group(files: MemoryFiles) -> _Group:
    if not files.lineage:
        return _Group()
    own = files.lineage[0]
    stat = dict(line.split(" ", 1) for line in kernel_files.lines(own / "memory.stat") if " " in line)
    if files.version == 2:
        current, prefix = _bytes(kernel_files.text(own / "memory.current")), ""
        limit = _least(_bytes(kernel_files.text(folder / "memory.max")) for folder in files.lineage)
        high = _least(_bytes(kernel_files.text(folder / "memory.high")) for folder in files.lineage)
    else:
        current, prefix = _bytes(kernel_files.text(own / "memory.usage_in_bytes")), "total_"
        limit, high = _bytes(stat.get("hierarchical_memory_limit")), None
    active, inactive = (_bytes(stat.get(f"{prefix}{kind}_file")) for kind in ("active", "inactive"))
    if current is None or active is None or inactive is None:
        return _Group(limit=limit, high=high)
    return _Group(max(0, current - active - inactive), active + inactive, limit, high)


def _bytes(text: str | None) -> int | None:
    """Parse a number of bytes; None for `max`, for v1's "no limit", and for invalid text."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 20:
        return None
    value = int(text)
    return value if value < _MAX_BYTES else None


def _least(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
