"""Readings of the machine. What cannot be read is None; nonsense counts as not read."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from appliance.ports import Clock
from appliance.readings import Cpu, Memory, Reading, Storage, System, Thermal

_CHIPS = ("cpu_thermal", "soc_thermal", "coretemp", "k10temp", "zenpower", "cpu-thermal", "CPU-therm", "acpitz")
"""Names under which kernels report the processor's temperature, best first."""


class MachineSensors:
    """Sensors through psutil, and through files under `root` for what psutil does not give."""

    def __init__(self, *, root: Path = Path("/"), disk: Path = Path("/"), clock: Clock = time.monotonic) -> None:
        self._root, self._disk, self._clock = root, disk, clock
        self._process = psutil.Process()
        psutil.cpu_percent()  # the first call has nothing to compare with

    def read(self) -> Reading:
        memory = psutil.virtual_memory()
        try:
            disk_free: int | None = psutil.disk_usage(str(self._disk)).free
        except OSError:
            disk_free = None
        now = self._clock()
        resident = self._process.memory_info().rss
        return Reading(
            at_s=now,
            thermal=Thermal(now, _soc_temp(), self._trip_temp()),
            memory=Memory(now, memory.available, memory.total, resident_bytes=resident),
            cpu=Cpu(now, psutil.cpu_percent()),
            storage=Storage(now, disk_free),
            system=System(now, round(time.time() - psutil.boot_time(), 1)),
        )

    def _trip_temp(self) -> float | None:
        """The lowest passive trip point of any thermal zone (Documentation/driver-api/thermal/sysfs-api.rst)."""
        trips = []
        for kind in self._root.glob("sys/class/thermal/thermal_zone*/trip_point_*_type"):
            try:
                if kind.read_text().strip() == "passive":
                    trips.append(int(kind.with_name(kind.name.replace("_type", "_temp")).read_text()) / 1000)
            except (OSError, ValueError):
                continue
        return min((trip for trip in trips if _plausible(trip)), default=None)


def board_name(root: Path = Path("/")) -> str | None:
    """What this machine calls itself: the device tree's model, else DMI's product name."""
    for source in ("proc/device-tree/model", "sys/class/dmi/id/product_name"):
        try:
            name = (root / source).read_text(errors="replace").strip("\0 \n")
        except OSError:
            continue
        if name:
            return name
    return None


def _soc_temp() -> float | None:
    try:
        chips = psutil.sensors_temperatures()
    except (AttributeError, OSError, ValueError):
        return None
    for name in (*_CHIPS, *chips):
        temps = [sensor.current for sensor in chips.get(name, []) if _plausible(sensor.current)]
        if temps:
            return round(max(temps), 1)
    return None


def _plausible(temp_c: float | None) -> bool:
    return temp_c is not None and -40 < temp_c < 130 and temp_c != 0
