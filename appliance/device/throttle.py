"""Whether the chip slows itself down: its frequency, and what firmware and kernel say of throttling.

Rules of this file:
- `find` looks for the files once, the other functions read what was found; `read` does both.
- A Raspberry Pi's firmware says all in one word: bits 0 to 3 now, bits 16 to 19 since it started.
- Where its kernel has no file for that word, the firmware's own program is asked, as a child: seldom, since that costs
  more than all other sensors together, and not again for a while if it does not answer.
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
_NONSENSE = 0xFFFF_FFFF
"""All bits, or more than there are: nobody answered. Bits that mean nothing yet are let pass."""
_CHILD_TIMEOUT_S = 1.0
_CHILD_EVERY_S = 10.0


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
    """`vcgencmd get_throttled`, whose last answer holds for ten seconds, as does its silence."""

    def __init__(self, program: Path, clock: Clock) -> None:
        self._program, self._clock = program, clock
        self._word: int | None = None
        self._asked_s = float("-inf")

    def word(self) -> int | None:
        """The throttle word; takes a second at most."""
        if self._clock() - self._asked_s >= _CHILD_EVERY_S:
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


@dataclass(frozen=True, slots=True)
class Files:
    """Where this machine tells of its clocks."""

    khz: tuple[Path, ...] = ()
    max_khz: tuple[Path, ...] = ()
    counts: tuple[Path, ...] = ()
    word: Path | Child | None = None


def find(root: Path = Path("/"), clock: Clock = time.monotonic) -> Files:
    """The files (Documentation/ABI/testing/sysfs-devices-system-cpu; the Raspberry Pi's firmware driver)."""
    cpus = root / "sys/devices/system/cpu"
    words = sorted((root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled"))
    return Files(
        khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))),
        max_khz=tuple(sorted(cpus.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"))),
        counts=tuple(sorted(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))),
        word=words[0] if words else _child(root, clock),
    )


def is_raspberry_pi(root: Path) -> bool:
    """As its device tree says."""
    return "raspberrypi," in (kernel_files.text(root / "proc/device-tree/compatible") or "")


def mhz(files: tuple[Path, ...]) -> float | None:
    """The mean of these, MHz."""
    khz = [value for path in files if (value := kernel_files.within(kernel_files.number(path), 1_000, 10_000_000))]
    return round(sum(khz) / len(khz) / 1000, 1) if khz else None


def word(files: Files) -> int | None:
    """A Raspberry Pi's throttle word."""
    if isinstance(files.word, Child):
        said = files.word.word()
    else:
        said = kernel_files.number(files.word, base=16) if files.word else None
    return None if said is None or said >= _NONSENSE else said


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


def _child(root: Path, clock: Clock) -> Child | None:
    program = root / "usr/bin/vcgencmd"
    return Child(program, clock) if is_raspberry_pi(root) and os.access(program, os.X_OK) else None
