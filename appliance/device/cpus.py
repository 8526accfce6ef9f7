"""The number of CPUs that this process may use; an affinity mask or a cgroup quota often allows fewer than exist.

The tightest quota of the cgroup and its ancestors counts (Documentation/admin-guide/cgroup-v2.rst, `cpu.max`;
Documentation/scheduler/sched-bwc.rst, `cpu.cfs_quota_us`).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from appliance.device import kernel_files
from appliance.device.cgroups import hierarchies


def usable_cpus(root: Path = Path("/")) -> int:
    """The number of CPUs in the affinity mask, limited by the cgroup quota rounded up; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cpus(root)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def restricted_to(root: Path = Path("/")) -> int:
    """The usable CPUs if the machine has more, else 0. Most libraries only count the CPUs of the machine."""
    usable = usable_cpus(root)
    return usable if usable < (os.cpu_count() or 1) else 0


def quota_cpus(root: Path = Path("/")) -> float | None:
    """The tightest CPU quota of this process's cgroups, in CPUs; None: no quota."""
    quotas = [
        quota
        for hierarchy in hierarchies("cpu", root)
        for folder in hierarchy.lineage
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
    """Divide quota by period; None for `max`, -1 and invalid text."""
    try:
        quota = int(quota_us) / int(period_us)
    except (ValueError, ArithmeticError):
        return None
    return quota if quota > 0 and int(quota_us) > 0 else None
