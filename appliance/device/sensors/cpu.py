"""CPU usage, frequency and pressure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.sensors import pressure, throttle
from appliance.device.sensors.group import GroupReading, with_reasons
from appliance.device.sensors.work import Work
from appliance.readings import Cpu

_NOT_YET = "available after the second reading"
_REASONS = {
    "percent": _NOT_YET,
    "own_percent": _NOT_YET,
    "mhz": "this machine does not report its CPU frequency",
    "max_mhz": "this machine does not report its CPU frequency",
    "load_1m": "this system has no load average",
    "pressure_percent": pressure.REASON,
    "limit_mhz": "this machine does not report its CPU frequency",
    "work_ms": "this system does not count the CPU time of threads",
    "gpu_percent": "only Jetson boards report GPU usage",
}
_MIN_INTERVAL_S = 0.2
"""The kernel counts in steps of 10 ms: usage over a shorter interval is too coarse."""


class CpuUsage:
    """CPU usage since the previous measurement, by all processes and by this one."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._times()
        self._last: tuple[float | None, float | None] = (None, None)

    def measure(self) -> tuple[float | None, float | None]:
        """Percent of all CPUs together: all processes, this process. None before the second measurement."""
        total, busy, own = now = self._times()
        total_before, busy_before, own_before = self._before
        passed = total - total_before
        if passed >= _MIN_INTERVAL_S:
            self._before = now
            self._last = _percent(busy - busy_before, passed), _percent(own - own_before, passed)
        return self._last

    def _times(self) -> tuple[float, float, float]:
        """Seconds of CPU time: total, used by all processes, used by this process."""
        times = psutil.cpu_times()
        # The kernel counts guest time twice. Waiting for a disk counts as idle.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        own = self._process.cpu_times()
        return total, total - times.idle - getattr(times, "iowait", 0.0), own.user + own.system


@dataclass(frozen=True, slots=True)
class CpuFiles:
    """The files that this machine has about its CPUs."""

    throttle: throttle.ThrottleFiles
    max_mhz: float | None
    pressure: Path
    gpu_load: tuple[Path, ...]


def find(root: Path = Path("/")) -> CpuFiles:
    """Find the files; the GPU load is in the places that JetPack 4, 5 and 6 use."""
    devices = root / "sys/devices"
    patterns = ("gpu.0/load", "platform/*gpu*/load", "platform/bus@0/*gpu*/load")
    found = throttle.find(root)
    return CpuFiles(
        throttle=found,
        max_mhz=throttle.mhz(found.max_khz),
        pressure=root / "proc/pressure/cpu",
        gpu_load=tuple(path for pattern in patterns for path in sorted(devices.glob(pattern))),
    )


def read(files: CpuFiles, usage: CpuUsage, work: Work) -> GroupReading[Cpu]:
    """Read CPU usage, frequency and pressure."""
    percent, own_percent = usage.measure()
    loads = (kernel_files.within(kernel_files.number(path), 0, 1000) for path in files.gpu_load)
    gpu = next((load for load in loads if load is not None), None)
    group = Cpu(
        percent=percent,
        own_percent=own_percent,
        mhz=throttle.mhz(files.throttle.khz),
        max_mhz=files.max_mhz,
        load_1m=round(os.getloadavg()[0], 2),
        pressure_percent=pressure.percent(files.pressure),
        gpu_percent=None if gpu is None else gpu / 10,
        limit_mhz=throttle.mhz(files.throttle.limit_khz),
        work_ms=work.measure(),
    )
    return with_reasons(group, _REASONS)


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(0.0, 100 * part / whole)), 1)
