"""The reading of each board: the chip temperature above all, and a reason for every unknown value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from appliance.device.board import board_name, identify
from appliance.device.sensors.machine import MachineSensors
from appliance.readings import Board, CoolingDevice, Reading, TripPoint
from tests import boards


def reading_of(name: str, root: Path) -> Reading:
    return MachineSensors(root=boards.lay_out(name, root), disk=root).read()


def test_a_raspberry_pi_4_is_read_completely(tmp_path: Path) -> None:
    reading = reading_of("pi4", tmp_path)
    thermal, power, memory = reading.thermal, reading.power, reading.memory
    assert thermal.soc_temp_c == 74.0
    assert thermal.passive_temp_c == 80.0  # the firmware's; this kernel has no such trip point
    assert thermal.zones[0].trips == (TripPoint("active", 70.0, 10.0),)
    assert thermal.cooling == (CoolingDevice("gpio-fan", 1, 1),)
    assert (power.under_voltage, power.under_voltage_since_boot) == (False, True)
    assert (power.frequency_capped, power.frequency_capped_since_boot) == (False, None)  # no record of it
    assert (power.throttled, power.throttled_since_boot) == (False, True)
    assert (power.soft_limit, power.soft_limit_since_boot) == (False, None)
    assert memory.cgroup_used_bytes == 300 * 2**20
    assert memory.cgroup_cache_bytes == 400 * 2**20
    assert (memory.cgroup_limit_bytes, memory.cgroup_high_bytes) == (1536 * 2**20, 1280 * 2**20)
    assert (memory.pressure_percent, reading.cpu.pressure_percent) == (0.25, 12.5)
    assert (reading.cpu.mhz, reading.cpu.max_mhz) == (1500.0, 1500.0)
    assert reading.system.uptime_s == 350735.47


def test_a_raspberry_pi_5_on_a_weak_power_supply_reports_under_voltage(tmp_path: Path) -> None:
    reading = reading_of("pi5", tmp_path)
    thermal = reading.thermal
    assert (thermal.soc_temp_c, thermal.passive_temp_c, thermal.critical_temp_c) == (47.4, 80.0, 110.0)
    assert [trip.temp_c for trip in thermal.zones[0].trips if trip.kind == "active"] == [50.0, 60.0, 67.5, 75.0]
    assert thermal.cooling == (CoolingDevice("pwm-fan", 0, 4),)
    assert reading.power.under_voltage is True
    assert reading.power.throttled is True
    assert reading.power.soft_limit is False
    assert reading.cpu.mhz == 1950.0
    assert reading.unknown["memory.cgroup_used_bytes"] == "this process is in no control group with memory accounting"
    assert "psi=1" in reading.unknown["memory.pressure_percent"]


def test_a_jetson_orin_nano_is_read_despite_its_missing_sensors(tmp_path: Path) -> None:
    reading = reading_of("orin_nano", tmp_path)
    thermal = reading.thermal
    assert thermal.soc_temp_c == 49.8  # tj-thermal; cv0 to cv2 have no working sensor
    assert [zone.name for zone in thermal.zones if zone.temp_c is None] == ["cv0-thermal", "cv1-thermal", "cv2-thermal"]
    assert (thermal.passive_temp_c, thermal.critical_temp_c) == (95.0, 104.5)
    assert reading.power.watts == {"VDD_IN": 5.23, "VDD_CPU_GPU_CV": 1.58, "VDD_SOC": 1.5}
    assert reading.power.mode == "25W"
    assert reading.power.under_voltage is None
    assert reading.cpu.gpu_percent == 41.5
    assert reading.memory.cgroup_limit_bytes == 2**30
    assert reading.memory.cgroup_used_bytes == 320 * 2**20


def test_a_nuc_reports_the_temperature_of_its_package(tmp_path: Path) -> None:
    reading = reading_of("nuc", tmp_path)
    thermal = reading.thermal
    assert thermal.soc_temp_c == 60.0  # the package; Wi-Fi and NVMe are hotter
    assert thermal.passive_temp_c == 100.0  # Intel's throttling temperature, which only coretemp reports
    assert all(zone.trips == () for zone in thermal.zones[1:])  # the unused ones
    assert reading.power.throttle_events == 14
    assert reading.power.limit_w == 28.0
    assert reading.power.throttled is None


def test_a_virtual_machine_reports_its_values_as_unknown(tmp_path: Path) -> None:
    reading = reading_of("vm", tmp_path)
    assert reading.thermal.soc_temp_c is None
    assert reading.unknown["thermal.soc_temp_c"] == "no temperature sensor found for the chip"
    assert reading.memory.cgroup_limit_bytes is None
    assert reading.memory.cgroup_used_bytes == 2138316800 - 1432735744 - 597049344


@pytest.mark.parametrize("name", boards.NAMES)
def test_exactly_the_unknown_values_have_a_reason(name: str, tmp_path: Path) -> None:
    reading = reading_of(name, tmp_path)
    groups = {field.name: getattr(reading, field.name) for field in fields(reading) if field.name != "doubts"}
    unknown = {
        f"{name}.{field.name}"
        for name, group in groups.items()
        if is_dataclass(group)
        for field in fields(group)
        if getattr(group, field.name) is None
    }
    assert set(reading.unknown) == unknown
    assert all(reading.unknown.values())


@pytest.mark.parametrize(
    ("name", "board"),
    [
        ("pi4", Board("Raspberry Pi 4 Model B Rev 1.2", "c03112", "10000000a1b2c3d4")),
        ("pi5", Board("Raspberry Pi 5 Model B Rev 1.0", "c04170", "4d00bf1e0badcafe")),
        (
            "orin_nano",
            Board("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", None, "1421223012345"),
        ),
        ("nuc", Board("NUC12WSKi5", "M46708-302", None)),
        ("vm", Board("Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2", None)),
    ],
)
def test_a_board_is_identified(name: str, board: Board, tmp_path: Path) -> None:
    assert identify(boards.lay_out(name, tmp_path)) == board


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proc/device-tree/model": b"Jetson\0", "sys/class/dmi/id/product_name": b"NUC"}, "Jetson"),
        ({"proc/device-tree/model": b"\0", "sys/class/dmi/id/product_name": b"NUC"}, "NUC"),
        (
            {"sys/class/dmi/id/product_name": b"To Be Filled By O.E.M.\n", "sys/class/dmi/id/board_name": b"J4125\n"},
            "J4125",
        ),
        ({"sys/class/dmi/id/product_name": b"\xff\xfeodd\n"}, "\ufffd\ufffdodd"),
        ({"sys/class/dmi/id/product_name": b"\x1b[31mred\n"}, "[31mred"),
        ({"sys/class/dmi/id/product_name": b"\n"}, None),
        ({}, None),
    ],
)
def test_the_name_is_the_first_that_the_maker_filled_in(
    files: dict[str, bytes], name: str | None, tmp_path: Path
) -> None:
    for path, content in files.items():
        boards.put(tmp_path, path, content)
    assert board_name(tmp_path) == name
