"""Whether the chip slows itself down: its frequency, and what firmware and kernel say of throttling.

Rules of this file:
- `find` looks for the files once, the other functions read what was found; `read` does both.
- A Raspberry Pi's firmware says all in one word: bits 0 to 3 now, bits 16 to 19 the same in the past.
- The kernel's file is its driver's copy of that word, made every two seconds (drivers/hwmon/raspberrypi-hwmon.c); with
  each copy the driver has the past cleared. So what was seen is kept here.
- The past since the board started is known to the firmware's own program, which is asked as a child: seldom, since a
  child costs half as much as a whole round (1.5 ms and 2.7 ms on x86-64), and not again for a while if it is silent.
- On a Raspberry Pi the frequency is the one that the kernel asked for; the firmware may give less.
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
"""Where the bits of the past begin."""
_NONSENSE = 0xFFFF_FFFF
"""All bits, or more than there are: nobody answered. Bits that mean nothing yet are let pass."""
_CHILD_TIMEOUT_S = 1.0
_CHILD_EVERY_S = 10.0
_CHILD_BESIDE_FILE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """One look at the chip's clocks; None is unknown."""

    mhz: float | None = None
    """Mean frequency of its cores."""
    word: int | None = None
    """A Raspberry Pi's throttle word."""
    events: int | None = None
    """Times that an Intel chip throttled since it started."""

    @property
    def throttled_now(self) -> bool | None:
        """Under-voltage, capped, throttled or soft temperature limit, as a Raspberry Pi's firmware says."""
        return None if self.word is None else bool(self.word & _NOW)


class Child:
    """`vcgencmd get_throttled`, whose last answer holds for a while, as does its silence."""

    def __init__(self, program: Path, every_s: float, clock: Clock) -> None:
        self._program, self._every_s, self._clock = program, every_s, clock
        self._word: int | None = None
        self._asked_s = float("-inf")

    def word(self) -> int | None:
        """The throttle word; takes a second at most."""
        if self._clock() - self._asked_s >= self._every_s:
            self._word = self._ask()
            self._asked_s = self._clock()
        return self._word

    def _ask(self) -> int | None:
        command = [str(self._program), "get_throttled"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_CHILD_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return None
        said = re.fullmatch(rb"throttled=0x([0-9a-fA-F]{1,8})\s*", done.stdout)
        return int(said[1], 16) if said else None


class Seen:
    """The bits of a throttle word that were set in any that we saw, as the lowest four."""

    def __init__(self) -> None:
        self._bits = 0

    def add(self, word: int) -> int:
        """All bits so far."""
        self._bits |= (word | word >> _PAST) & _NOW
        return self._bits


@dataclass(frozen=True, slots=True)
class Files:
    """Where this machine tells of its clocks."""

    khz: tuple[Path, ...] = ()
    max_khz: tuple[Path, ...] = ()
    counts: tuple[Path, ...] = ()
    word: Path | None = None
    child: Child | None = None


def find(root: Path = Path("/"), clock: Clock = time.monotonic) -> Files:
    """The files (Documentation/ABI/testing/sysfs-devices-system-cpu; the Raspberry Pi's firmware driver)."""
    cpus = root / "sys/devices/system/cpu"
    words = sorted((root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled"))
    return Files(
        khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))),
        max_khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"))),
        counts=tuple(sorted(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))),
        word=words[0] if words else None,
        child=_child(root, _CHILD_BESIDE_FILE_EVERY_S if words else _CHILD_EVERY_S, clock),
    )


def is_raspberry_pi(root: Path) -> bool:
    """As its device tree says."""
    return "raspberrypi," in (kernel_files.text(root / "proc/device-tree/compatible") or "")


def mhz(files: tuple[Path, ...]) -> float | None:
    """The mean of these, MHz."""
    khz = [value for path in files if (value := kernel_files.within(kernel_files.number(path), 1_000, 10_000_000))]
    return round(sum(khz) / len(khz) / 1000, 1) if khz else None


def word(files: Files) -> int | None:
    """A Raspberry Pi's throttle word: what is now. Its past reaches back two seconds, or to the start of the board."""
    said = kernel_files.number(files.word, base=16) if files.word else _asked(files)
    return None if said is None or said >= _NONSENSE else said


def since_boot(files: Files) -> int | None:
    """The bits of the past since the board started, as the lowest four."""
    said = _asked(files)
    return None if said is None or said >= _NONSENSE else said >> _PAST & _NOW


def events(files: Files) -> int | None:
    """Times that the cores throttled."""
    counts = [value for path in files.counts if (value := kernel_files.number(path)) is not None and value >= 0]
    return sum(counts) if counts else None


def read(root: Path = Path("/")) -> Clocks:
    """The clocks now."""
    files = find(root)
    return Clocks(mhz(files.khz), word(files), events(files))


def slowed(before: Clocks, after: Clocks) -> bool | None:
    """Whether the chip throttled between two looks at it; None where nothing says so."""
    if after.throttled_now is None and (before.events is None or after.events is None):
        return None
    return bool(after.throttled_now) or (after.events or 0) > (before.events or 0)


def _asked(files: Files) -> int | None:
    return files.child.word() if files.child else None


def _child(root: Path, every_s: float, clock: Clock) -> Child | None:
    program = root / "usr/bin/vcgencmd"
    return Child(program, every_s, clock) if is_raspberry_pi(root) and os.access(program, os.X_OK) else None
