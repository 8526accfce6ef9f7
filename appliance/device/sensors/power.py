"""The power supply: under-voltage, power by rail, power limit and power mode."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.device import kernel_files
from appliance.device.sensors import throttle
from appliance.device.sensors.group import GroupReading, with_reasons
from appliance.ports import Clock
from appliance.readings import Power

_MAX_WATTS = 500.0
_NO_RAIL = {"", "NC", "sum of shunt voltages"}
"""Labels of power monitor channels that measure no rail (Jetson)."""

_PI_ONLY = "only Raspberry Pi boards report this"
_REASONS = {
    "under_voltage": "this board does not monitor its power supply",
    "under_voltage_since_boot": _PI_ONLY,
    "frequency_capped": _PI_ONLY,
    "frequency_capped_since_boot": _PI_ONLY,
    "throttled": _PI_ONLY,
    "throttled_since_boot": _PI_ONLY,
    "soft_limit": _PI_ONLY,
    "soft_limit_since_boot": _PI_ONLY,
    "throttle_events": "only Intel CPUs count throttle events",
    "limit_w": "only Intel CPUs report a power limit",
    "mode": "only Jetson boards have power modes",
}
_NOT_SINCE_START = "not since the service started. For the time before, run: vcgencmd get_throttled"
_SILENT_PI = "the firmware does not respond. Run: sudo vcgencmd get_throttled"


@dataclass(frozen=True, slots=True)
class Rail:
    """One channel of a power monitor: millivolts and milliamperes."""

    name: str
    millivolts: Path
    milliamperes: Path


@dataclass(frozen=True, slots=True)
class PowerFiles:
    """The files that this machine has about its power supply."""

    throttle: throttle.ThrottleFiles
    is_raspberry_pi: bool
    alarms: tuple[Path, ...]
    rails: tuple[Rail, ...]
    limit: Path
    mode: Path
    modes: dict[str, str]


def find(root: Path = Path("/"), clock: Clock = time.monotonic) -> PowerFiles:
    """Find the throttle word, hwmon `rpi_volt` (Documentation/hwmon/raspberrypi-hwmon.rst) and `ina3221`
    (Documentation/hwmon/ina3221.rst), Intel's power limit (Documentation/power/powercap/powercap.rst) and nvpmodel."""
    chips = {path.parent: kernel_files.label(path) for path in sorted(root.glob("sys/class/hwmon/hwmon*/name"))}
    return PowerFiles(
        throttle=throttle.find(root, clock),
        is_raspberry_pi=throttle.is_raspberry_pi(root),
        alarms=tuple(folder / "in0_lcrit_alarm" for folder, name in chips.items() if name == "rpi_volt"),
        rails=tuple(rail for folder, name in chips.items() if name == "ina3221" for rail in _rails(folder)),
        limit=root / "sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw",
        mode=root / "var/lib/nvpmodel/status",
        modes=_modes(root / "etc/nvpmodel.conf"),
    )


def read(files: PowerFiles, history: throttle.ThrottleHistory) -> GroupReading[Power]:
    """Read the power supply, and add its throttle word to the history."""
    word = throttle.word(files.throttle)
    past = _Past(history.add(word or 0), throttle.since_boot(files.throttle))
    alarms = [alarm for path in files.alarms if (alarm := kernel_files.number(path)) in (0, 1)]
    microwatts = kernel_files.number(files.limit)
    group = Power(
        under_voltage=_bit(word, 0) if word is not None else (any(alarms) if alarms else None),
        under_voltage_since_boot=past.bit(0),
        frequency_capped=_bit(word, 1),
        frequency_capped_since_boot=past.bit(1),
        throttled=_bit(word, 2),
        throttled_since_boot=past.bit(2),
        soft_limit=_bit(word, 3),
        soft_limit_since_boot=past.bit(3),
        throttle_events=throttle.events(files.throttle),
        watts={rail.name: watts for rail in files.rails if (watts := _watts(rail)) is not None},
        limit_w=kernel_files.within(microwatts / 1e6, 0.1, _MAX_WATTS) if microwatts else None,
        mode=_mode(files),
    )
    return with_reasons(group, _REASONS, _pi_reasons(word) if files.is_raspberry_pi else None)


@dataclass(frozen=True, slots=True)
class _Past:
    """Bits of the past: those this service saw, and those the firmware reports since boot (None: unknown)."""

    seen: int
    since_boot: int | None

    def bit(self, number: int) -> bool | None:
        if _bit(self.seen, number) or _bit(self.since_boot, number):
            return True
        return None if self.since_boot is None else False


def _pi_reasons(word: int | None) -> dict[str, str]:
    """Reasons for unknown values on a Raspberry Pi."""
    names = [name for name, reason in _REASONS.items() if reason is _PI_ONLY]
    why = dict.fromkeys(["under_voltage", *names], _SILENT_PI)
    past = _SILENT_PI if word is None else _NOT_SINCE_START
    return why | {name: past for name in names if name.endswith("_since_boot")}


def _bit(word: int | None, number: int) -> bool | None:
    return None if word is None else bool(word >> number & 1)


def _rails(folder: Path) -> Iterator[Rail]:
    for path in sorted(folder.glob("in[0-9]*_label")):
        channel = path.name.removeprefix("in").removesuffix("_label")
        name = kernel_files.label(path)
        if name not in _NO_RAIL:
            yield Rail(name, folder / f"in{channel}_input", folder / f"curr{channel}_input")


def _watts(rail: Rail) -> float | None:
    millivolts, milliamperes = kernel_files.number(rail.millivolts), kernel_files.number(rail.milliamperes)
    if millivolts is None or milliamperes is None or millivolts < 0:
        return None
    watts = kernel_files.within(millivolts * milliamperes / 1e6, 0.0, _MAX_WATTS)
    return None if watts is None else round(watts, 2)


def _modes(path: Path) -> dict[str, str]:
    """Names of a Jetson's power modes by number."""
    found = (re.match(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", line) for line in kernel_files.lines(path))
    return {match[1]: match[2][:32] for match in found if match}


def _mode(files: PowerFiles) -> str | None:
    """The mode that nvpmodel set last, `pmode:0002` in its status file, by name if known."""
    match = re.match(r"pmode:0*(\d{1,4})\b", kernel_files.text(files.mode) or "", re.ASCII)
    return files.modes.get(match[1], match[1]) if match else None
