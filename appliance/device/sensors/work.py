"""The real speed of the CPU: the time that a small fixed piece of work takes, without the time spent waiting.

Rules of this file:
- Where cores differ, only a core of the fastest kind counts: a small one takes up to three times as long. The service
  may not choose its core (systemd forbids sched_setaffinity), so it notes on which one the work ran, and repeats it at
  the next readings until that was a fast one.
- A measurement that none could replace for a minute is unknown.
"""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from appliance.device import kernel_files
from appliance.ports import Clock

_EVERY_S = 10.0
_USABLE_S = 60.0
_REPEATS = 5
_DATA = bytes(range(256)) * 256
"""64 kB stay in the cache of one core, so that the memory and its other users do not count."""
_SAME_KIND = 0.9
"""Cores of one kind differ by a few percent: Intel's favoured cores."""


class Work:
    """Repeats the work rarely: it takes a millisecond or two at most, outside the GIL."""

    def __init__(
        self,
        clock: Clock = time.monotonic,
        fast_cpus: frozenset[int] = frozenset(),
        current_cpu: Callable[[], int | None] | None = None,
        cpu_ms: Callable[[], float] | None = None,
    ) -> None:
        """`fast_cpus`: numbers of the fastest CPUs where they differ, else empty; `current_cpu`: the number of the CPU
        that runs the caller."""
        self._clock, self._fast = clock, fast_cpus
        self._current_cpu, self._cpu_ms = current_cpu or _sched_getcpu, cpu_ms or _hash_ms
        self._measured_s = float("-inf")
        self._ms: float | None = None

    def measure(self) -> float | None:
        """CPU time of the work, ms: the shortest of a few repetitions, at most ten seconds old if cores are equal."""
        age_s = self._clock() - self._measured_s
        if age_s < _EVERY_S:
            return self._ms
        times_ms = [ms for _ in range(_REPEATS) if (ms := self._on_fast_cpu_ms()) is not None]
        if times_ms:
            self._measured_s = self._clock()
            self._ms = round(min(times_ms), 4) or None
        elif age_s >= _USABLE_S:
            self._ms = None
        return self._ms

    def _on_fast_cpu_ms(self) -> float | None:
        """CPU time of the work once; None: it ran on a slow core, or moved."""
        if not self._fast:
            return self._cpu_ms()
        before = self._current_cpu()
        ms = self._cpu_ms()
        after = self._current_cpu()
        if before is None or after is None:
            return None
        return ms if before in self._fast and after in self._fast else None


def fast_cpus(root: Path = Path("/")) -> frozenset[int]:
    """The fastest CPUs by the kernel's capacity (Documentation/scheduler/sched-capacity.rst) or highest frequency;
    empty where all are equal or neither is known."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        speeds = {
            int(path.name.removeprefix("cpu")): speed
            for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*")
            if (speed := kernel_files.number(path / name)) is not None and speed > 0
        }
        fast = frozenset(number for number, speed in speeds.items() if speed >= _SAME_KIND * max(speeds.values()))
        if fast and len(fast) < len(speeds):
            return fast
    return frozenset()


def _hash_ms() -> float:
    begun_s = time.thread_time()
    hashlib.sha256(_DATA)
    return (time.thread_time() - begun_s) * 1000


def _sched_getcpu() -> int | None:
    """The CPU that runs this thread (sched_getcpu(3)); None: unknown."""
    try:
        number = ctypes.CDLL(None).sched_getcpu()
    except (AttributeError, OSError):
        return None
    return int(number) if number >= 0 else None
