"""The supply: whether its voltage holds, what the board draws, and what it may draw."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.device import kernel_files
from appliance.device.sensors import throttle
from appliance.device.sensors.group import Answer, answer
from appliance.ports import Clock
from appliance.readings import Power

_MOST_WATTS = 500.0
_NO_RAIL = {"", "NC", "sum of shunt voltages"}
"""Channels of a Jetson's power monitors that measure no rail."""

_ONLY_A_PI = "only a Raspberry Pi's firmware says so"
_ABSENT = {
    "under_voltage": "this board does not watch its supply",
    "under_voltage_since_boot": _ONLY_A_PI,
    "frequency_capped": _ONLY_A_PI,
    "frequency_capped_since_boot": _ONLY_A_PI,
    "throttled": _ONLY_A_PI,
    "throttled_since_boot": _ONLY_A_PI,
    "soft_limit": _ONLY_A_PI,
    "soft_limit_since_boot": _ONLY_A_PI,
    "throttle_events": "only an Intel chip counts them",
    "limit_w": "only an Intel chip tells its limit",
    "mode": "only a Jetson has power modes",
}
_NOT_SINCE_WE_STARTED = "not since this service started; of the time before only `vcgencmd get_throttled` knows"
_SILENT_PI = "the firmware does not answer; as root try `vcgencmd get_throttled`"


@dataclass(frozen=True, slots=True)
class Rail:
    """One channel of a power monitor: millivolts and milliamperes."""

    name: str
    millivolts: Path
    milliamperes: Path


@dataclass(frozen=True, slots=True)
class Files:
    """What this machine has to tell of its supply."""

    throttle: throttle.Files
    is_raspberry_pi: bool
    alarms: tuple[Path, ...]
    rails: tuple[Rail, ...]
    limit: Path
    mode: Path
    modes: dict[str, str]


def find(root: Path = Path("/"), clock: Clock = time.monotonic) -> Files:
    """The files: the throttle word's, and of hwmon `rpi_volt` (Documentation/hwmon/raspberrypi-hwmon.rst) and `ina3221`
    (Documentation/hwmon/ina3221.rst), Intel's power limit (Documentation/power/powercap/powercap.rst), nvpmodel's."""
    chips = {path.parent: kernel_files.label(path) for path in sorted(root.glob("sys/class/hwmon/hwmon*/name"))}
    return Files(
        throttle=throttle.find(root, clock),
        is_raspberry_pi=throttle.is_raspberry_pi(root),
        alarms=tuple(folder / "in0_lcrit_alarm" for folder, name in chips.items() if name == "rpi_volt"),
        rails=tuple(rail for folder, name in chips.items() if name == "ina3221" for rail in _rails(folder)),
        limit=root / "sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw",
        mode=root / "var/lib/nvpmodel/status",
        modes=_modes(root / "etc/nvpmodel.conf"),
    )


def read(files: Files, seen: throttle.Seen) -> Answer[Power]:
    """The supply now, and with what was seen of it before."""
    word = throttle.word(files.throttle)
    past = _Past(seen.add(word or 0), throttle.since_boot(files.throttle))
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
        limit_w=kernel_files.within(microwatts / 1e6, 0.1, _MOST_WATTS) if microwatts else None,
        mode=_mode(files),
    )
    return answer(group, _ABSENT, _why_of_a_pi(word) if files.is_raspberry_pi else None)


@dataclass(frozen=True, slots=True)
class _Past:
    """What we saw, and what the firmware says of the time since the board started; None: it does not say."""

    seen: int
    told: int | None

    def bit(self, number: int) -> bool | None:
        if _bit(self.seen, number) or _bit(self.told, number):
            return True
        return None if self.told is None else False


def _why_of_a_pi(word: int | None) -> dict[str, str]:
    """Why a Raspberry Pi does not say what only it can say."""
    names = [name for name, reason in _ABSENT.items() if reason is _ONLY_A_PI]
    why = dict.fromkeys(["under_voltage", *names], _SILENT_PI)
    past = _SILENT_PI if word is None else _NOT_SINCE_WE_STARTED
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
    watts = kernel_files.within(millivolts * milliamperes / 1e6, 0.0, _MOST_WATTS)
    return None if watts is None else round(watts, 2)


def _modes(path: Path) -> dict[str, str]:
    """The names of a Jetson's power modes by number."""
    found = (re.match(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", line) for line in kernel_files.lines(path))
    return {match[1]: match[2][:32] for match in found if match}


def _mode(files: Files) -> str | None:
    """The mode that nvpmodel set last: `pmode:0002` in its status file."""
    match = re.match(r"pmode:0*(\d{1,4})\b", kernel_files.text(files.mode) or "", re.ASCII)
    return files.modes.get(match[1], match[1]) if match else None
