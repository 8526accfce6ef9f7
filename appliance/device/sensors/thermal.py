"""Temperatures: which of a board's sensors belongs to the chip, and where kernel and firmware start to throttle.

Rules of this file:
- The chip temperature is that of the hottest thermal zone on the chip, by name. Battery, drive, Wi-Fi and air never
  count: less load does not cool them, they do not endanger the chip, and a cool one would hide a hot chip.
- Without such a zone, psutil reads the CPU's hwmon sensors. It is the second choice because it reads every sensor of
  the machine each time: their drivers may hang, and on a Jetson Orin Nano it raises TypeError.
- A broken chip zone is not replaced by another type of sensor: the temperature is unknown.
- The ACPI zone is the last resort: on many boards its value never changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from appliance.device import kernel_files
from appliance.device.sensors.group import GroupReading, with_reasons
from appliance.device.sensors.throttle import is_raspberry_pi
from appliance.readings import CoolingDevice, Thermal, TripPoint, Zone

_ON_THE_CHIP = re.compile(
    r"(?:[bm]?cpu|gpu|soc|cv|tj|ao|aux|pllx?)\d*[-_]therm(?:al)?"  # Raspberry Pi, Jetson with JetPack 6 and before
    r"|x86_pkg_temp|tcpu(?:_pci)?|b0d4",  # Intel's package sensor; the processor in Intel's DPTF
    re.IGNORECASE,
)
_CHIP_DRIVERS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")
"""hwmon names of CPU sensors, best first."""
_LAST_RESORT = "acpitz"
_MIN_C, _MAX_C = -40.0, 130.0
_PI_THROTTLES_C = 80.0
"""The temperature at which a Raspberry Pi's firmware starts to throttle, independently of the kernel
(raspberrypi.com/documentation, "Frequency management and thermal control"). `temp_limit` may lower it."""

_REASONS = {
    "soc_temp_c": "no temperature sensor found for the chip",
    "passive_temp_c": "this machine does not report its throttling temperature",
    "critical_temp_c": "this machine does not report its shutdown temperature",
}


class Sensor(Protocol):
    """A temperature sensor as psutil returns it."""

    @property
    def current(self) -> float: ...


Hwmon = Callable[[], Mapping[str, Sequence[Sensor]]]


@dataclass(frozen=True, slots=True)
class ZoneFiles:
    """The files of one thermal zone; its trip points are constant."""

    name: str
    temp: Path
    trips: tuple[TripPoint, ...]


@dataclass(frozen=True, slots=True)
class ThermalFiles:
    """The files that this machine has about temperatures and cooling."""

    zones: tuple[ZoneFiles, ...]
    cooling: tuple[tuple[str, Path, int], ...]
    """Name, state file and highest state of each cooling device."""
    passive_temp_c: float | None
    critical_temp_c: float | None


def find(root: Path = Path("/")) -> ThermalFiles:
    """Find the zones, their trip points and the cooling devices (Documentation/driver-api/thermal/sysfs-api.rst)."""
    folders = sorted((root / "sys/class/thermal").glob("thermal_zone[0-9]*"), key=_number_of)
    zones = tuple(ZoneFiles(kernel_files.label(folder / "type"), folder / "temp", _trips(folder)) for folder in folders)
    trips = [trip for zone in _of_chip(zones) for trip in zone.trips]
    passive = _lowest(trips, "passive")
    if passive is None:
        passive = _PI_THROTTLES_C if is_raspberry_pi(root) else _intel_throttles_c(root)
    return ThermalFiles(zones, tuple(_cooling(root)), passive, _lowest(trips, "critical"))


def hwmon_through_psutil() -> Mapping[str, Sequence[Sensor]]:
    """All hwmon temperatures of this machine by driver name; empty where psutil fails."""
    try:
        return psutil.sensors_temperatures()
    except (AttributeError, OSError, TypeError, ValueError):  # AttributeError: not on this system
        return {}


def read(files: ThermalFiles, hwmon: Hwmon = hwmon_through_psutil) -> GroupReading[Thermal]:
    """Read temperatures and cooling devices."""
    zones = tuple(Zone(zone.name, _temp_c(zone.temp), zone.trips) for zone in files.zones)
    temp_c, source = _chip_temp(zones, hwmon)
    group = Thermal(
        soc_temp_c=temp_c,
        passive_temp_c=files.passive_temp_c,
        critical_temp_c=files.critical_temp_c,
        zones=zones,
        cooling=tuple(
            CoolingDevice(name, state, most)
            for name, path, most in files.cooling
            if (state := kernel_files.number(path)) is not None and 0 <= state <= most
        ),
    )
    why = {"soc_temp_c": f"{source} cannot be read or reports an impossible value"} if source else None
    return with_reasons(group, _REASONS, why)


def _chip_temp(zones: Sequence[Zone], hwmon: Hwmon) -> tuple[float | None, str | None]:
    """Return the chip temperature, and the sensor that should report it."""
    chip = [zone for zone in zones if _ON_THE_CHIP.fullmatch(zone.name)]
    if chip:
        return _hottest(zone.temp_c for zone in chip), chip[0].name
    sensors = hwmon()
    for driver in _CHIP_DRIVERS:
        if driver in sensors:
            return _hottest(_plausible(sensor.current) for sensor in sensors[driver]), driver
    rest = [zone for zone in zones if zone.name == _LAST_RESORT]
    return _hottest(zone.temp_c for zone in rest), rest[0].name if rest else None


def _of_chip(zones: Sequence[ZoneFiles]) -> list[ZoneFiles]:
    chip = [zone for zone in zones if _ON_THE_CHIP.fullmatch(zone.name)]
    return chip or [zone for zone in zones if zone.name == _LAST_RESORT]


def _trips(folder: Path) -> tuple[TripPoint, ...]:
    trips = []
    for kind in sorted(folder.glob("trip_point_*_type"), key=_number_of):
        stem = kind.name.removesuffix("type")
        temp_c = _temp_c(folder / f"{stem}temp")
        if temp_c is not None:  # an unused trip point reads 0, -274 or 2147483
            trips.append(TripPoint(kernel_files.label(kind), temp_c, _hysteresis_c(folder / f"{stem}hyst")))
    return tuple(trips)


def _hysteresis_c(path: Path) -> float | None:
    return kernel_files.within(_degrees(path), 0.0, 100.0)


def _cooling(root: Path) -> Iterator[tuple[str, Path, int]]:
    for folder in sorted((root / "sys/class/thermal").glob("cooling_device[0-9]*"), key=_number_of):
        most = kernel_files.number(folder / "max_state")
        if most is not None and most > 0:
            yield kernel_files.label(folder / "type"), folder / "cur_state", most


def _intel_throttles_c(root: Path) -> float | None:
    """The lowest junction temperature at which an Intel CPU throttles (Documentation/hwmon/coretemp.rst)."""
    chips = [path.parent for path in root.glob("sys/class/hwmon/hwmon*/name") if kernel_files.text(path) == "coretemp"]
    temps = [_temp_c(path) for chip in chips for path in chip.glob("temp*_crit")]
    return min((temp for temp in temps if temp is not None), default=None)


def _lowest(trips: Iterable[TripPoint], kind: str) -> float | None:
    return min((trip.temp_c for trip in trips if trip.kind == kind), default=None)


def _hottest(temps_c: Iterable[float | None]) -> float | None:
    return max((temp_c for temp_c in temps_c if temp_c is not None), default=None)


def _temp_c(path: Path) -> float | None:
    return _plausible(_degrees(path))


def _degrees(path: Path) -> float | None:
    """Read a temperature in thousandths of a degree."""
    value = kernel_files.number(path)
    return None if value is None else value / 1000


def _plausible(temp_c: float | None) -> float | None:
    """None for a temperature outside a working chip's range, and for 0, which an unpowered sensor reports."""
    plausible = kernel_files.within(temp_c, _MIN_C, _MAX_C)
    return round(plausible, 1) if plausible else None


def _number_of(path: Path) -> int:
    """The first number in a name: thermal_zone10 comes after thermal_zone9."""
    digits = re.search(r"[0-9]+", path.name)
    return int(digits[0]) if digits else 0
