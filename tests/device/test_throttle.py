"""Clocks and throttling, from files as kernels lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device.throttle import Clocks, read, slowed

PI = "sys/devices/platform/soc/soc:firmware/get_throttled"
CPU = "sys/devices/system/cpu/cpu{}/{}"


def put(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def test_a_machine_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    assert read(tmp_path) == Clocks()
    assert slowed(Clocks(), Clocks()) is None


def test_the_frequency_is_the_mean_of_the_cores(tmp_path: Path) -> None:
    for core, khz in enumerate(("2400000", "1200000", "offline")):
        put(tmp_path, CPU.format(core, "cpufreq/scaling_cur_freq"), f"{khz}\n")
    put(tmp_path, CPU.format("idle", "cpufreq/scaling_cur_freq"), "9\n")
    assert read(tmp_path).mhz == 1800.0


@pytest.mark.parametrize(
    ("word", "now"), [("0", False), ("50000", False), ("50005", True), ("4", True), ("8", True), ("x", None)]
)
def test_a_raspberry_pi_throttles_now_or_did_once(word: str, now: bool | None, tmp_path: Path) -> None:
    put(tmp_path, PI, f"{word}\n")
    assert read(tmp_path).throttled_now is now
    assert slowed(Clocks(), read(tmp_path)) is now


def test_an_intel_chip_counts_how_often_it_throttled(tmp_path: Path) -> None:
    for core in range(2):
        put(tmp_path, CPU.format(core, "thermal_throttle/core_throttle_count"), "7\n")
    before = read(tmp_path)
    assert before.events == 14
    assert slowed(before, before) is False
    put(tmp_path, CPU.format(1, "thermal_throttle/core_throttle_count"), "8\n")
    assert slowed(before, read(tmp_path)) is True
