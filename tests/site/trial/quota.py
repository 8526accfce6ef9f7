"""CPU quotas: a control group for each machine of the trial, below the caller's own (cgroup v1 or v2)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 20_000
"""A short one: a machine that has used its part waits at most this long for the next."""
_GONE_S = 5.0


class Quotas:
    """Groups that get at most `cores` of CPU time each. `problem`: why there are none."""

    def __init__(self, names: list[str], cores: float) -> None:
        self._groups: dict[str, Path] = {}
        self.problem: str | None = None
        try:
            for name in names:
                self._make(name, cores)
        except OSError as error:
            self.close()
            self.problem = f"{type(error).__name__}: {error}"

    def _make(self, name: str, cores: float) -> None:
        quota_us = round(cores * _PERIOD_US)
        parent, version_2 = _own_group()
        group = self._groups[name] = parent / f"site-{name}"
        group.mkdir(exist_ok=True)
        if version_2:
            with contextlib.suppress(OSError):  # it may be on already
                (parent / "cgroup.subtree_control").write_text("+cpu")
            (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))

    def put(self, name: str, pid: int) -> None:
        """Let a process, and what it starts, count as this machine's."""
        if name in self._groups:
            (self._groups[name] / "cgroup.procs").write_text(str(pid))

    def throttled(self, name: str) -> str:
        """How often this machine has used up its part."""
        if name not in self._groups:
            return "no quota"
        stat = dict(line.split() for line in (self._groups[name] / "cpu.stat").read_text().splitlines())
        return f"out of CPU time in {stat['nr_throttled']} of {stat['nr_periods']} periods"

    def close(self) -> None:
        """Remove the groups. Their processes have ended."""
        until = time.monotonic() + _GONE_S
        for group in self._groups.values():
            while group.exists() and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    group.rmdir()
                time.sleep(0.01)
        self._groups = {}


def _own_group() -> tuple[Path, bool]:
    """The caller's group for CPU time, and whether it is of cgroup v2."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "cpu" in controllers.split(","):
            return _ROOT / "cpu" / path.lstrip("/"), False
    return _ROOT / lines[0][2].lstrip("/"), True
