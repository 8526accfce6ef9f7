"""Frequency and throttling, from files as kernels provide them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device.sensors import throttle
from appliance.device.sensors.throttle import Throttling, read, slowed
from tests.fakes import FakeClock

PI = "sys/devices/platform/soc/soc:firmware/get_throttled"
CPU = "sys/devices/system/cpu/cpu{}/{}"


def put(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def test_without_any_files_throttling_is_unknown(tmp_path: Path) -> None:
    assert read(tmp_path) == Throttling()
    assert slowed(Throttling(), Throttling()) is None


def test_the_frequency_is_the_mean_of_the_cores(tmp_path: Path) -> None:
    for core, khz in enumerate(("2400000", "1200000", "offline")):
        put(tmp_path, CPU.format(core, "cpufreq/scaling_cur_freq"), f"{khz}\n")
    put(tmp_path, CPU.format("idle", "cpufreq/scaling_cur_freq"), "9\n")
    assert read(tmp_path).mhz == 1800.0


@pytest.mark.parametrize(
    ("word", "now"), [("0", False), ("50000", False), ("50005", True), ("4", True), ("8", True), ("x", None)]
)
def test_a_raspberry_pi_throttles_now_or_did_in_the_past(word: str, now: bool | None, tmp_path: Path) -> None:
    put(tmp_path, PI, f"{word}\n")
    assert read(tmp_path).throttled_now is now
    assert slowed(Throttling(), read(tmp_path)) is now


def test_an_intel_cpu_counts_its_throttle_events(tmp_path: Path) -> None:
    for core in range(2):
        put(tmp_path, CPU.format(core, "thermal_throttle/core_throttle_count"), "7\n")
    before = read(tmp_path)
    assert before.events == 14
    assert slowed(before, before) is False
    put(tmp_path, CPU.format(1, "thermal_throttle/core_throttle_count"), "8\n")
    assert slowed(before, read(tmp_path)) is True


def vcgencmd(root: Path, script: str) -> Path:
    """Install a fake vcgencmd on a Raspberry Pi whose kernel has no file; it appends each call to `calls`."""
    put(root, "proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    put(root, "usr/bin/vcgencmd", f'#!/bin/sh\necho "$@" >> {root}/calls\n{script}\n')
    (root / "usr/bin/vcgencmd").chmod(0o755)
    return root / "calls"


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("echo throttled=0x50005", 0x50005),
        ("echo throttled=0x0", 0),
        ("echo throttled=", None),
        ("echo error=1 error_msg='Command not registered'", None),
        ("echo VCHI initialization failed >&2; exit 255", None),
        ("printf '\\377\\376'", None),
        ("exec sleep 60", None),
    ],
)
def test_without_a_file_vcgencmd_is_run(script: str, word: int | None, tmp_path: Path) -> None:
    calls = vcgencmd(tmp_path, script)
    assert throttle.word(throttle.find(tmp_path)) == word
    assert calls.read_text() == "get_throttled\n"


def test_vcgencmd_is_run_rarely_even_if_it_fails(tmp_path: Path) -> None:
    clock = FakeClock()
    calls = vcgencmd(tmp_path, "exit 1")
    files = throttle.find(tmp_path, clock)
    for _ in range(25):
        assert throttle.word(files) is None
        clock.pass_(1)
    assert len(calls.read_text().splitlines()) == 3


def test_vcgencmd_is_not_run_if_a_file_exists_or_on_other_boards(tmp_path: Path) -> None:
    calls = vcgencmd(tmp_path, "echo throttled=0x4")
    put(tmp_path, PI, "1\n")
    assert read(tmp_path).word == 1
    (tmp_path / PI).unlink()
    put(tmp_path, "proc/device-tree/compatible", "nvidia,tegra234\0")
    assert read(tmp_path).word is None
    assert not calls.exists()
