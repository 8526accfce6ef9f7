"""Whether the chip slows itself down: its frequency, and what firmware and kernel say of throttling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PI_NOW = 0xF
"""Under-voltage, capped, throttled, soft temperature limit: now; the upper half of the word is since the last boot."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """One look at the chip's clocks; None is unknown."""

    mhz: float | None = None
    """Mean frequency of its cores."""
    throttled_now: bool | None = None
    """As a Raspberry Pi's firmware says; a Pi 5 gives no such file."""
    events: int | None = None
    """Times that an Intel chip throttled since it started."""


def read(root: Path = Path("/")) -> Clocks:
    """The clocks now (Documentation/ABI/testing/sysfs-devices-system-cpu; the Raspberry Pi's firmware driver)."""
    cpus = root / "sys/devices/system/cpu"
    khz = _numbers(cpus, "cpu[0-9]*/cpufreq/scaling_cur_freq")
    events = _numbers(cpus, "cpu[0-9]*/thermal_throttle/core_throttle_count")
    flags = _numbers(root / "sys/devices/platform", "soc*/soc*:firmware/get_throttled", base=16)
    return Clocks(
        mhz=round(sum(khz) / len(khz) / 1000, 1) if khz else None,
        throttled_now=any(flag & _PI_NOW for flag in flags) if flags else None,
        events=sum(events) if events else None,
    )


def slowed(before: Clocks, after: Clocks) -> bool | None:
    """Whether the chip throttled between two looks at it; None where nothing says so."""
    if after.throttled_now is None and (before.events is None or after.events is None):
        return None
    return bool(after.throttled_now) or (after.events or 0) > (before.events or 0)


def _numbers(folder: Path, pattern: str, base: int = 10) -> list[int]:
    numbers = []
    for path in folder.glob(pattern):
        try:
            numbers.append(int(path.read_text(encoding="ascii").strip(), base))
        except (OSError, ValueError):
            continue
    return numbers
