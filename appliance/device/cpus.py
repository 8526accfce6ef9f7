"""How many CPUs this process may really use: an affinity mask or a cgroup often gives it fewer than the machine has.

The tightest quota on the way up through the cgroups counts (Documentation/admin-guide/cgroup-v2.rst, `cpu.max`;
Documentation/scheduler/sched-bwc.rst, `cpu.cfs_quota_us`).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from appliance.device import kernel_files
from appliance.device.cgroups import hierarchies


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
    quotas = [
        quota
        for hierarchy in hierarchies("cpu", root)
        for folder in hierarchy.way_up
        if (quota := (_quota_v2 if hierarchy.version == 2 else _quota_v1)(folder)) is not None
    ]
    return min(quotas, default=None)


def _quota_v2(folder: Path) -> float | None:
    words = (kernel_files.text(folder / "cpu.max") or "").split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    quota, period = (kernel_files.text(folder / f"cpu.cfs_{what}_us") or "" for what in ("quota", "period"))
    return _ratio(quota, period)


def _ratio(quota_us: str, period_us: str) -> float | None:
    """None for `max`, -1 and nonsense."""
    try:
        quota = int(quota_us) / int(period_us)
    except (ValueError, ArithmeticError):
        return None
    return quota if quota > 0 and int(quota_us) > 0 else None
