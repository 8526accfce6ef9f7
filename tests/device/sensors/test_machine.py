"""All sensors together: this machine, boards that change or hang, and files with arbitrary content."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.device import board
from appliance.device.sensors import cpu, memory, power, storage, system, thermal, throttle
from appliance.device.sensors.group import GroupReading, unknowns
from appliance.device.sensors.machine import MachineSensors
from appliance.device.sensors.work import Work
from appliance.readings import Power
from tests import boards
from tests.fakes import FakeClock

PI4_TEMP = "sys/devices/virtual/thermal/thermal_zone0/temp"


def test_this_machine_is_read_with_the_given_clock(tmp_path: Path) -> None:
    reading = MachineSensors(disk=tmp_path, clock=FakeClock(42.0)).read()
    groups = (reading.thermal, reading.power, reading.memory, reading.cpu, reading.storage, reading.system)
    assert reading.at_s == 42.0
    assert [group.at_s for group in groups] == [42.0] * 6
    assert reading.memory.available_bytes is not None
    assert reading.memory.total_bytes is not None
    assert 0 < reading.memory.available_bytes <= reading.memory.total_bytes
    assert (reading.memory.resident_bytes or 0) > 1_000_000
    assert (reading.storage.total_bytes or 0) >= (reading.storage.free_bytes or 0) > 0
    assert reading.storage.read_only is False
    assert (reading.system.uptime_s or 0) > 0
    assert "lo" not in {link.name for link in reading.system.links}
    assert reading.thermal.soc_temp_c is None or -40 < reading.thermal.soc_temp_c < 130


def test_each_round_reads_changed_values(tmp_path: Path) -> None:
    clock = FakeClock(100.0)
    sensors = MachineSensors(root=boards.lay_out("pi4", tmp_path), disk=tmp_path, clock=clock)
    assert sensors.read().thermal.soc_temp_c == 74.0
    clock.pass_(1)
    boards.put(tmp_path, PI4_TEMP, "81250\n")
    boards.put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "e0008\n")
    reading = sensors.read()
    assert (reading.thermal.at_s, reading.thermal.soc_temp_c) == (101.0, 81.2)
    assert (reading.power.soft_limit, reading.power.throttled) == (True, False)


def test_a_hung_sensor_does_not_block_the_others(tmp_path: Path) -> None:
    """A FIFO without a writer: a read from it never returns."""
    clock = FakeClock(100.0)
    sensors = MachineSensors(root=boards.lay_out("pi4", tmp_path), disk=tmp_path, clock=clock, patience_s=2.0)
    first = sensors.read()
    (tmp_path / PI4_TEMP).unlink()
    os.mkfifo(tmp_path / PI4_TEMP)
    try:
        clock.pass_(1)
        reading = sensors.read()
        assert reading.thermal == first.thermal
        assert (reading.power.at_s, reading.memory.at_s, reading.cpu.at_s) == (101.0, 101.0, 101.0)
        clock.pass_(12)
        reading = sensors.read()
        assert reading.thermal.soc_temp_c is None
        assert reading.thermal.at_s == 100.0
        assert reading.unknown["thermal.soc_temp_c"] == "no response for 12 s"
        assert (reading.power.at_s, reading.storage.at_s, reading.system.at_s) == (113.0, 113.0, 113.0)
        hung = [thread for thread in threading.enumerate() if thread.name == "sensors thermal"]
        assert len(hung) == 1
    finally:
        with (tmp_path / PI4_TEMP).open("w") as release:
            release.write("45000\n")
    hung[0].join(10)
    (tmp_path / PI4_TEMP).unlink()
    boards.put(tmp_path, PI4_TEMP, "46000\n")
    assert sensors.read().thermal.soc_temp_c == 46.0


def test_cpu_usage_is_known_from_the_second_measurement_on() -> None:
    usage = cpu.CpuUsage()
    assert usage.measure() == (None, None)
    before, deadline_s = psutil.cpu_times(), time.monotonic() + 60
    while sum(psutil.cpu_times()) - sum(before) < 1.0:
        assert time.monotonic() < deadline_s, "the kernel counted no second of CPU time within a minute"
    percent, own_percent = usage.measure()
    assert percent is not None
    assert own_percent is not None
    assert 0 < own_percent <= 100
    assert 0 < percent <= 100


BOUNDS = {
    "soc_temp_c": (-40, 130), "passive_temp_c": (-40, 130), "critical_temp_c": (-40, 130),
    "pressure_percent": (0, 100), "percent": (0, 100), "own_percent": (0, 100), "gpu_percent": (0, 100),
    "limit_mhz": (1, 10_000), "work_ms": (0, 1000),
    "wear_percent": (0, 100), "mhz": (1, 10_000), "max_mhz": (1, 10_000), "limit_w": (0.1, 500),
    "throttle_events": (0, 1e22), "uptime_s": (0, 1e12),
    "cgroup_used_bytes": (0, 2**60), "cgroup_cache_bytes": (0, 2**61),
    "cgroup_limit_bytes": (0, 2**60), "cgroup_high_bytes": (0, 2**60),
}  # fmt: skip


def everything(root: Path) -> Iterator[GroupReading[Any]]:
    yield thermal.read(thermal.find(root), dict)
    yield power.read(power.find(root), throttle.ThrottleHistory())
    yield memory.read(memory.find(root), psutil.Process())
    yield cpu.read(cpu.find(root), cpu.CpuUsage(), Work())
    yield storage.read(storage.find(root, root))
    yield system.read(root, lambda: None)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Path]]:
    """The root of each board, and its files."""
    roots = [boards.lay_out(name, tmp_path_factory.mktemp(name)) for name in boards.NAMES]
    return {
        root: sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()) for root in roots
    }


CONTENT = st.one_of(
    st.binary(max_size=40),
    st.text(alphabet="0123456789-+.xabc \n\0", max_size=24).map(str.encode),
    st.integers().map(lambda number: b"%d\n" % number),
    st.sampled_from([b"", b"\n", b"max\n", b"0x0b 0x0b", b"ffffffff", b"9" * 5000, b"1" * 10_000_000]),
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), content=CONTENT)
def test_no_file_content_causes_an_error_or_an_impossible_value(
    trees: dict[Path, list[Path]], data: st.DataObject, content: bytes
) -> None:
    root = data.draw(st.sampled_from(list(trees)))
    file = data.draw(st.sampled_from(trees[root]))
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        for result in everything(root):
            assert list(result.why) == unknowns(result.group)
            for field, (least, most) in BOUNDS.items():
                value = getattr(result.group, field, None)
                assert value is None or least <= value <= most, field
            if isinstance(result.group, Power):
                assert all(0 <= watts <= 500 for watts in result.group.watts.values())
        for part in (found := board.identify(root)).name, found.revision, found.serial:
            assert part is None or (part.isprintable() and len(part) <= 128)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", boards.NAMES)
def test_the_values_of_a_board_whose_files_all_vanish_are_unknown(name: str, tmp_path: Path) -> None:
    clock = FakeClock()
    sensors = MachineSensors(root=boards.lay_out(name, tmp_path), disk=tmp_path, clock=clock)
    sensors.read()
    for path in tmp_path.rglob("*"):
        if path.is_file() or path.is_symlink():
            path.unlink()
    clock.pass_(1)
    reading = sensors.read()
    assert reading.thermal.soc_temp_c is None
    assert reading.power.watts == {}
    assert reading.power.under_voltage is None
    assert reading.cpu.mhz is None
    assert reading.memory.available_bytes is not None
