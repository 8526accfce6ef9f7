"""Which temperature belongs to the chip, and how broken sensors are handled."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.device.sensors import thermal
from appliance.readings import Thermal
from tests import boards

ZONE = "sys/class/thermal/thermal_zone{}/{}"
NONSENSE = ["0", "-273000", "-274000", "999000", "2147483647", "soon", "", "45.5", "4 5", "1_000", "٤٥٠٠٠", "9" * 400]


def zone(root: Path, number: int, name: str, temp: str, *trips: tuple[str, str]) -> None:
    """A thermal zone; temperatures in thousandths of a degree."""
    boards.put(root, ZONE.format(number, "type"), f"{name}\n")
    boards.put(root, ZONE.format(number, "temp"), f"{temp}\n")
    for point, (kind, trip) in enumerate(trips):
        boards.put(root, ZONE.format(number, f"trip_point_{point}_type"), f"{kind}\n")
        boards.put(root, ZONE.format(number, f"trip_point_{point}_temp"), f"{trip}\n")


def hwmon(**chips: list[float]) -> thermal.Hwmon:
    """Sensors as psutil returns them."""
    return lambda: {name: [SimpleNamespace(current=temp) for temp in temps] for name, temps in chips.items()}


def read(root: Path, sensors: thermal.Hwmon = dict) -> Thermal:
    return thermal.read(thermal.find(root), sensors).group


@pytest.mark.parametrize(
    ("zones", "temp_c"),
    [
        ({"cpu-thermal": 50, "gpu-thermal": 61, "tj-thermal": 60}, 61.0),
        ({"CPU-therm": 50, "GPU-therm": 52, "AO-therm": 55, "PMIC-Die": 100, "thermal-fan-est": 90}, 55.0),
        ({"cpu-thermal": 50, "Tboard_tegra": 70, "battery": 80}, 50.0),
        ({"acpitz": 90, "x86_pkg_temp": 45, "iwlwifi_1": 80, "pch_cannonlake": 85}, 45.0),
        ({"acpitz": 28}, 28.0),
        ({"iwlwifi_1": 80, "nvme": 70, "battery": 60}, None),
    ],
)
def test_the_chip_temperature_is_that_of_the_hottest_zone_on_the_chip(
    zones: dict[str, int], temp_c: float, tmp_path: Path
) -> None:
    for number, (name, temp) in enumerate(zones.items()):
        zone(tmp_path, number, name, f"{temp}000")
    assert read(tmp_path).soc_temp_c == temp_c


def test_without_a_zone_on_the_chip_psutil_reads_the_cpu_sensors(tmp_path: Path) -> None:
    zone(tmp_path, 0, "acpitz", "27800")
    assert read(tmp_path, hwmon(nvme=[80.0], k10temp=[61.5, 48.0], iwlwifi_1=[70.0])).soc_temp_c == 61.5
    assert read(tmp_path, hwmon(nvme=[80.0])).soc_temp_c == 27.8
    assert read(tmp_path, hwmon(k10temp=[-273.0, 999.0])).soc_temp_c is None


def test_psutil_is_not_used_if_the_kernel_has_a_zone_on_the_chip(tmp_path: Path) -> None:
    zone(tmp_path, 0, "cpu-thermal", "50000")

    def forbidden() -> dict[str, list[thermal.Sensor]]:
        raise AssertionError("psutil was used")

    assert read(tmp_path, forbidden).soc_temp_c == 50.0


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_broken_chip_sensor_makes_the_temperature_unknown_and_is_named(nonsense: str, tmp_path: Path) -> None:
    """The temperature of another sensor never replaces it."""
    zone(tmp_path, 0, "cpu-thermal", nonsense)
    zone(tmp_path, 1, "acpitz", "27800")
    result = thermal.read(thermal.find(tmp_path), hwmon(coretemp=[40.0]))
    assert result.group.soc_temp_c is None
    assert result.why["soc_temp_c"] == "cpu-thermal cannot be read or reports an impossible value"


def test_one_broken_zone_does_not_hide_the_others(tmp_path: Path) -> None:
    zone(tmp_path, 0, "cpu-thermal", "-256000")
    zone(tmp_path, 1, "gpu-thermal", "51000")
    assert read(tmp_path).soc_temp_c == 51.0


def test_a_changed_temperature_is_read_and_a_vanished_one_is_unknown(tmp_path: Path) -> None:
    zone(tmp_path, 0, "cpu-thermal", "50000")
    files = thermal.find(tmp_path)
    assert thermal.read(files).group.soc_temp_c == 50.0
    zone(tmp_path, 0, "cpu-thermal", "63500")
    assert thermal.read(files).group.soc_temp_c == 63.5
    (tmp_path / ZONE.format(0, "temp")).unlink()
    assert thermal.read(files).group.soc_temp_c is None


def test_throttling_starts_at_the_lowest_passive_trip_point_of_the_chip(tmp_path: Path) -> None:
    zone(tmp_path, 0, "cpu-thermal", "1", ("critical", "110000"), ("active", "50000"), ("passive", "85000"))
    zone(tmp_path, 1, "gpu-thermal", "1", ("hot", "90000"), ("passive", "80500"), ("critical", "105000"))
    zone(tmp_path, 2, "iwlwifi_1", "1", ("passive", "60000"), ("critical", "70000"))
    assert read(tmp_path).passive_temp_c == 80.5
    assert read(tmp_path).critical_temp_c == 105.0


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_an_unused_trip_point_is_ignored(nonsense: str, tmp_path: Path) -> None:
    zone(tmp_path, 0, "cpu-thermal", "50000", ("passive", nonsense), ("passive", "85000"))
    assert read(tmp_path).passive_temp_c == 85.0
    boards.put(tmp_path, ZONE.format(0, "trip_point_1_temp"), nonsense)
    assert read(tmp_path).passive_temp_c is None


def test_a_machine_without_thermal_zones_has_no_trip_points(tmp_path: Path) -> None:
    assert read(tmp_path) == Thermal()


@pytest.mark.parametrize(("state", "most"), [("-1", "3"), ("4", "3"), ("x", "3"), ("", "3"), ("0", "0"), ("1", "many")])
def test_a_cooling_device_with_an_impossible_state_is_left_out(state: str, most: str, tmp_path: Path) -> None:
    for name, content in {"type": "fan", "cur_state": state, "max_state": most}.items():
        boards.put(tmp_path, f"sys/class/thermal/cooling_device0/{name}", content)
    assert read(tmp_path).cooling == ()
