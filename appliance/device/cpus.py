"""How many CPUs this process may really use: an affinity mask or a cgroup often gives it fewer than the machine has.

Rules of this file:
- A quota holds for the cgroup it is set on and for all below it, so the tightest one on the way up counts
  (Documentation/admin-guide/cgroup-v2.rst, `cpu.max`; Documentation/scheduler/sched-bwc.rst, `cpu.cfs_quota_us`).
- The CPU controller is mounted as v1 or as v2, on hybrid systems beside mounts of the other kind: each is asked.
- In a container the mount shows a part of the tree only; the way up ends at its root.
- What cannot be read bounds nothing.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class _Mount:
    """One mounted hierarchy: the cgroup at its top, and where it lies below the root of the file system."""

    version: int
    top: str
    folder: str


_USUAL_MOUNTS = (
    _Mount(2, "/", "sys/fs/cgroup"),
    _Mount(1, "/", "sys/fs/cgroup/cpu,cpuacct"),
    _Mount(1, "/", "sys/fs/cgroup/cpu"),
)
"""Where they are when nobody says so."""


def usable_cpus(root: Path = Path("/")) -> int:
    """CPUs for this process: its affinity mask, and no more than its cgroups' quota, rounded up. At least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cpus(root)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def restricted_to(root: Path = Path("/")) -> int:
    """The usable CPUs where they are fewer than the machine has, which is all that most libraries look at; else 0."""
    usable = usable_cpus(root)
    return usable if usable < (os.cpu_count() or 1) else 0


def quota_cpus(root: Path = Path("/")) -> float | None:
    """CPU time a second that the tightest cgroup above this process allows, in CPUs; None: no bound."""
    groups = _groups(root)
    quotas = [
        quota
        for mount in _mounts(root)
        if mount.version in groups
        for folder in _way_up(root / mount.folder, mount.top, groups[mount.version])
        if (quota := (_quota_v2 if mount.version == 2 else _quota_v1)(folder)) is not None
    ]
    return min(quotas, default=None)


def _groups(root: Path) -> dict[int, str]:
    """This process' cgroup in the hierarchy of each version that may bound CPU time; see cgroups(7)."""
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups[2] = path
        elif "cpu" in controllers.split(","):
            groups[1] = path
    return groups


def _mounts(root: Path) -> list[_Mount]:
    """The mounted hierarchies that may bound CPU time, from mountinfo; see proc_pid_mountinfo(5)."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        top, folder = _plain(fields[3]), _plain(fields[4]).lstrip("/")
        if kind[0] == "cgroup2":
            mounts.append(_Mount(2, top, folder))
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            mounts.append(_Mount(1, top, folder))
    return mounts or list(_USUAL_MOUNTS)


def _way_up(mounted: Path, top: str, group: str) -> Iterator[Path]:
    """The folders of a cgroup and of all above it that this mount shows."""
    path = PurePosixPath(group)
    inside = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()
    if ".." in inside.parts:  # it is outside of our namespace
        inside = PurePosixPath()
    for part in (inside, *inside.parents):
        yield mounted / part


def _quota_v2(folder: Path) -> float | None:
    words = next(iter(_lines(folder / "cpu.max")), "").split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    quota, period = (next(iter(_lines(folder / f"cpu.cfs_{what}_us")), "") for what in ("quota", "period"))
    return _ratio(quota, period)


def _ratio(quota_us: str, period_us: str) -> float | None:
    """None for `max`, -1 and nonsense."""
    try:
        quota = int(quota_us) / int(period_us)
    except (ValueError, ArithmeticError):
        return None
    return quota if quota > 0 and int(quota_us) > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):  # the latter: a path with a NUL in it
        return []


def _plain(text: str) -> str:
    """A path of mountinfo without its octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
