"""The power supply: firmware words, alarms, rails, modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device.sensors import power, throttle
from appliance.readings import Power
from tests import boards

HWMON = "sys/class/hwmon/hwmon{}/{}"
PI = "sys/devices/platform/soc/soc:firmware/get_throttled"


def read(root: Path, history: throttle.ThrottleHistory | None = None) -> Power:
    return power.read(power.find(root), history or throttle.ThrottleHistory()).group


def since_boot(supply: Power) -> list[bool | None]:
    return [
        supply.under_voltage_since_boot,
        supply.frequency_capped_since_boot,
        supply.throttled_since_boot,
        supply.soft_limit_since_boot,
    ]


def vcgencmd(root: Path, word: str) -> None:
    boards.put(root, "proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0")
    boards.put(root, "usr/bin/vcgencmd", f"#!/bin/sh\necho throttled={word}\n").chmod(0o755)


def rail(root: Path, number: int, name: str, millivolts: str, milliamperes: str) -> None:
    boards.put(root, HWMON.format(1, "name"), "ina3221\n")
    for file, content in ((f"in{number}_label", name), (f"in{number}_input", millivolts)):
        boards.put(root, HWMON.format(1, file), f"{content}\n")
    boards.put(root, HWMON.format(1, f"curr{number}_input"), f"{milliamperes}\n")


@pytest.mark.parametrize(
    ("word", "now"),
    [
        ("0", [False] * 4),
        ("1", [True, False, False, False]),
        ("2", [False, True, False, False]),
        ("4", [False, False, True, False]),
        ("8", [False, False, False, True]),
        ("a0000", [False] * 4),
        ("50005", [True, False, True, False]),
        ("ffffffff", [None] * 4),
        ("what", [None] * 4),
    ],
)
def test_the_throttle_word_of_a_raspberry_pi_is_decoded(word: str, now: list[bool | None], tmp_path: Path) -> None:
    boards.put(tmp_path, PI, f"{word}\n")
    supply = read(tmp_path)
    assert [supply.under_voltage, supply.frequency_capped, supply.throttled, supply.soft_limit] == now


def test_past_bits_are_kept_although_the_kernel_clears_them(tmp_path: Path) -> None:
    history, results = throttle.ThrottleHistory(), []
    for word in ("0", "50005", "0", "20000", "what"):
        boards.put(tmp_path, PI, f"{word}\n")
        results.append(since_boot(read(tmp_path, history)))
    assert results == [
        [None] * 4,  # not seen, which is not the same as never
        [True, None, True, None],
        [True, None, True, None],
        [True, True, True, None],
        [True, True, True, None],
    ]


def test_the_firmware_program_reports_the_time_before_the_service_started(tmp_path: Path) -> None:
    boards.put(tmp_path, PI, "2\n")
    vcgencmd(tmp_path, "0x50000")
    assert since_boot(read(tmp_path)) == [True, True, True, False]
    (tmp_path / PI).unlink()
    supply = read(tmp_path)
    assert since_boot(supply) == [True, False, True, False]
    assert (supply.under_voltage, supply.throttled) == (False, False)


@pytest.mark.parametrize(("alarm", "under_voltage"), [("0", False), ("1", True), ("2", None), ("", None)])
def test_without_a_throttle_word_the_alarm_reports_under_voltage(
    alarm: str, under_voltage: bool | None, tmp_path: Path
) -> None:
    boards.put(tmp_path, HWMON.format(0, "name"), "rpi_volt\n")
    boards.put(tmp_path, HWMON.format(0, "in0_lcrit_alarm"), f"{alarm}\n")
    assert read(tmp_path).under_voltage is under_voltage


def test_a_silent_firmware_has_another_reason_than_a_board_without_one(tmp_path: Path) -> None:
    boards.put(tmp_path, "proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    why = power.read(power.find(tmp_path), throttle.ThrottleHistory()).why
    assert why["throttled"] == why["under_voltage"] == "the firmware does not respond. Run: sudo vcgencmd get_throttled"
    assert why["mode"] == "only Jetson boards have power modes"
    boards.put(tmp_path, PI, "0\n")
    why = power.read(power.find(tmp_path), throttle.ThrottleHistory()).why
    assert "throttled" not in why
    assert why["throttled_since_boot"].startswith("not since the service started")


def test_the_power_of_a_rail_is_its_voltage_times_its_current(tmp_path: Path) -> None:
    rail(tmp_path, 1, "VDD_IN", "5000", "1500")
    rail(tmp_path, 2, "NC", "5000", "1500")
    rail(tmp_path, 3, "VDD_SOC", "5000", "-1")
    rail(tmp_path, 4, "VDD_GPU", "soon", "1")
    rail(tmp_path, 5, "VDD_CV", "2147483647", "2147483647")
    assert read(tmp_path).watts == {"VDD_IN": 7.5}


@pytest.mark.parametrize(
    ("status", "mode"),
    [
        ("pmode:0002", "MAXN_SUPER"),
        ("pmode:0000 fmode:fanNull", "15W"),
        ("pmode:0007", "7"),
        ("mode:1", None),
        ("", None),
    ],
)
def test_the_power_mode_of_a_jetson_has_a_name(status: str, mode: str | None, tmp_path: Path) -> None:
    boards.put(tmp_path, "var/lib/nvpmodel/status", status)
    boards.put(tmp_path, "etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n")
    assert read(tmp_path).mode == mode
