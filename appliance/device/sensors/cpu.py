"""The processors' use and pace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.sensors import pressure, throttle
from appliance.device.sensors.group import Answer, answer
from appliance.readings import Cpu

_NOT_YET = "it takes two readings"
_ABSENT = {
    "percent": _NOT_YET,
    "own_percent": _NOT_YET,
    "mhz": "this machine does not tell its frequency",
    "max_mhz": "this machine does not tell its frequency",
    "load_1m": "this system does not count load",
    "pressure_percent": pressure.ABSENT,
    "gpu_percent": "only a Jetson tells how busy its GPU is",
}
_LEAST_S = 0.2
"""The kernel counts in steps of 10 ms: a shorter stretch of time says nothing."""


class Usage:
    """How busy the processors, and we, were since the look before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._times()
        self._last: tuple[float | None, float | None] = (None, None)

    def look(self) -> tuple[float | None, float | None]:
        """Percent of all processors together: by everything, and by this process."""
        total, busy, own = now = self._times()
        total_before, busy_before, own_before = self._before
        passed = total - total_before
        if passed >= _LEAST_S:
            self._before = now
            self._last = _percent(busy - busy_before, passed), _percent(own - own_before, passed)
        return self._last

    def _times(self) -> tuple[float, float, float]:
        """Seconds of processor time: that there were, that were used, that we used."""
        times = psutil.cpu_times()
        # The kernel counts the time of guests twice; waiting for a disk is idle.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        own = self._process.cpu_times()
        return total, total - times.idle - getattr(times, "iowait", 0.0), own.user + own.system


@dataclass(frozen=True, slots=True)
class Files:
    """What this machine has to tell of its processors."""

    throttle: throttle.Files
    max_mhz: float | None
    pressure: Path
    gpu_load: tuple[Path, ...]


def find(root: Path = Path("/")) -> Files:
    """The files; the GPU's is where JetPack 4, 5 and 6 put it."""
    devices = root / "sys/devices"
    patterns = ("gpu.0/load", "platform/*gpu*/load", "platform/bus@0/*gpu*/load")
    found = throttle.find(root)
    return Files(
        throttle=found,
        max_mhz=throttle.mhz(found.max_khz),
        pressure=root / "proc/pressure/cpu",
        gpu_load=tuple(path for pattern in patterns for path in sorted(devices.glob(pattern))),
    )


def read(files: Files, usage: Usage) -> Answer[Cpu]:
    """The processors now."""
    percent, own_percent = usage.look()
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
    )
    return answer(group, _ABSENT)


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(0.0, 100 * part / whole)), 1)
