"""Throttling: the CPU frequency, and what firmware and kernel report about throttling.

Rules of this file:
- `find` searches for the files once, and the other functions read them; `read` does both.
- A Raspberry Pi's firmware reports everything in one word: bits 0 to 3 for now, bits 16 to 19 for the past.
- The kernel's file is a copy of that word, which its driver refreshes every two seconds
  (drivers/hwmon/raspberrypi-hwmon.c), clearing the past each time. `ThrottleHistory` therefore keeps the past.
- Only the firmware's own program, vcgencmd, knows the past since boot. It runs rarely, because a child process costs
  half as much as a whole round (1.5 ms and 2.7 ms on x86-64), and not again for a while after a failure.
- On a Raspberry Pi the frequency is the one that the kernel requested; the firmware may run the chip slower.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.device import kernel_files
from appliance.ports import Clock

_NOW = 0xF
_PAST = 16
"""Position of the first bit of the past."""
_INVALID = 0xFFFF_FFFF
"""All bits set, or more: the firmware did not respond. Bits without a meaning yet are accepted."""
_CHILD_TIMEOUT_S = 1.0
_CHILD_EVERY_S = 10.0
_CHILD_WITH_FILE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Throttling:
    """The chip's frequency and throttling at one moment; None: unknown."""

    mhz: float | None = None
    """Mean frequency of the cores."""
    word: int | None = None
    """A Raspberry Pi's throttle word."""
    events: int | None = None
    """Throttle events of an Intel CPU since boot."""

    @property
    def throttled_now(self) -> bool | None:
        """Under-voltage, capped, throttled or soft temperature limit, as reported by a Raspberry Pi's firmware."""
        return None if self.word is None else bool(self.word & _NOW)


class Vcgencmd:
    """`vcgencmd get_throttled`, with its last result cached, failures included."""

    def __init__(self, program: Path, every_s: float, clock: Clock) -> None:
        self._program, self._every_s, self._clock = program, every_s, clock
        self._word: int | None = None
        self._ran_s = float("-inf")

    def word(self) -> int | None:
        """Return the throttle word; takes at most a second."""
        if self._clock() - self._ran_s >= self._every_s:
            self._word = self._run()
            self._ran_s = self._clock()
        return self._word

    def _run(self) -> int | None:
        command = [str(self._program), "get_throttled"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_CHILD_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return None
        match = re.fullmatch(rb"throttled=0x([0-9a-fA-F]{1,8})\s*", done.stdout)
        return int(match[1], 16) if match else None


class ThrottleHistory:
    """All bits that were set in any throttle word so far, as the lowest four."""

    def __init__(self) -> None:
        self._bits = 0

    def add(self, word: int) -> int:
        """Add a word; return all bits so far."""
        self._bits |= (word | word >> _PAST) & _NOW
        return self._bits


@dataclass(frozen=True, slots=True)
class ThrottleFiles:
    """The files that this machine has about frequency and throttling."""

    khz: tuple[Path, ...] = ()
    max_khz: tuple[Path, ...] = ()
    limit_khz: tuple[Path, ...] = ()
    counts: tuple[Path, ...] = ()
    word: Path | None = None
    program: Vcgencmd | None = None


def find(root: Path = Path("/"), clock: Clock = time.monotonic) -> ThrottleFiles:
    """Find the files (Documentation/ABI/testing/sysfs-devices-system-cpu; the Raspberry Pi's firmware driver)."""
    cpus = root / "sys/devices/system/cpu"
    words = sorted((root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled"))
    return ThrottleFiles(
        khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))),
        max_khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"))),
        limit_khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_max_freq"))),
        counts=tuple(sorted(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))),
        word=words[0] if words else None,
        program=_vcgencmd(root, _CHILD_WITH_FILE_EVERY_S if words else _CHILD_EVERY_S, clock),
    )


def is_raspberry_pi(root: Path) -> bool:
    """Whether the device tree names a Raspberry Pi."""
    return "raspberrypi," in (kernel_files.text(root / "proc/device-tree/compatible") or "")


def mhz(files: tuple[Path, ...]) -> float | None:
    """The mean of these frequencies, MHz."""
    khz = [value for path in files if (value := kernel_files.within(kernel_files.number(path), 1_000, 10_000_000))]
    return round(sum(khz) / len(khz) / 1000, 1) if khz else None


def word(files: ThrottleFiles) -> int | None:
    """A Raspberry Pi's throttle word. Its past bits cover two seconds (file) or the time since boot (program)."""
    value = kernel_files.number(files.word, base=16) if files.word else _from_program(files)
    return None if value is None or value >= _INVALID else value


def since_boot(files: ThrottleFiles) -> int | None:
    """The past bits since boot, as the lowest four."""
    value = _from_program(files)
    return None if value is None or value >= _INVALID else value >> _PAST & _NOW


def events(files: ThrottleFiles) -> int | None:
    """Throttle events of all cores."""
    counts = [value for path in files.counts if (value := kernel_files.number(path)) is not None and value >= 0]
    return sum(counts) if counts else None


def read(root: Path = Path("/")) -> Throttling:
    """Read frequency and throttling."""
    files = find(root)
    return Throttling(mhz(files.khz), word(files), events(files))


def slowed(before: Throttling, after: Throttling) -> bool | None:
    """Whether the chip throttled between two moments; None: unknown."""
    if after.throttled_now is None and (before.events is None or after.events is None):
        return None
    return bool(after.throttled_now) or (after.events or 0) > (before.events or 0)


def _from_program(files: ThrottleFiles) -> int | None:
    return files.program.word() if files.program else None


def _vcgencmd(root: Path, every_s: float, clock: Clock) -> Vcgencmd | None:
    program = root / "usr/bin/vcgencmd"
    return Vcgencmd(program, every_s, clock) if is_raspberry_pi(root) and os.access(program, os.X_OK) else None
