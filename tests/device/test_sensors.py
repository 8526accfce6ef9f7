"""Readings of the machine, and of boards whose files are laid out here as their kernels do."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device.sensors import MachineSensors, board_name
from tests.fakes import FakeClock


def zone(root: Path, number: int, *trips: tuple[str, str]) -> None:
    """A thermal zone with trip points (Documentation/driver-api/thermal/sysfs-api.rst): type, millidegrees."""
    folder = root / f"sys/class/thermal/thermal_zone{number}"
    folder.mkdir(parents=True)
    (folder / "type").write_text("cpu-thermal\n")
    for point, (kind, temp) in enumerate(trips):
        (folder / f"trip_point_{point}_type").write_text(f"{kind}\n")
        (folder / f"trip_point_{point}_temp").write_text(f"{temp}\n")


def trip(root: Path) -> float | None:
    return MachineSensors(root=root).read().thermal.passive_temp_c


def test_the_lowest_passive_trip_point_is_where_throttling_begins(tmp_path: Path) -> None:
    zone(tmp_path, 0, ("critical", "110000"), ("active", "50000"), ("passive", "85000"))
    zone(tmp_path, 1, ("hot", "90000"), ("passive", "80500"))
    assert trip(tmp_path) == 80.5


@pytest.mark.parametrize(
    "trips",
    [
        [],
        [("critical", "110000")],
        [("passive", "0")],
        [("passive", "-274000")],
        [("passive", "2147483647")],
        [("passive", "soon")],
        [("passive", "")],
    ],
    ids=str,
)
def test_nonsense_is_unknown(trips: list[tuple[str, str]], tmp_path: Path) -> None:
    zone(tmp_path, 0, *trips)
    assert trip(tmp_path) is None


def test_one_broken_trip_point_does_not_hide_the_others(tmp_path: Path) -> None:
    zone(tmp_path, 0, ("passive", "soon"), ("passive", "85000"))
    (tmp_path / "sys/class/thermal/thermal_zone0/trip_point_0_temp").unlink()
    assert trip(tmp_path) == 85.0


def test_a_machine_without_thermal_zones_has_no_trip_point(tmp_path: Path) -> None:
    assert trip(tmp_path) is None


@pytest.mark.parametrize(
    ("path", "content", "name"),
    [
        ("proc/device-tree/model", b"Raspberry Pi 5 Model B Rev 1.0\0", "Raspberry Pi 5 Model B Rev 1.0"),
        ("proc/device-tree/model", b"NVIDIA Jetson Orin Nano Developer Kit\0", "NVIDIA Jetson Orin Nano Developer Kit"),
        ("sys/class/dmi/id/product_name", b"NUC12WSKi5\n", "NUC12WSKi5"),
        ("sys/class/dmi/id/product_name", b"\xff\xfeodd\n", "\ufffd\ufffdodd"),
        ("sys/class/dmi/id/product_name", b"\n", None),
        ("elsewhere", b"x", None),
    ],
)
def test_a_board_says_its_name(path: str, content: bytes, name: str | None, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(content)
    assert board_name(tmp_path) == name


def test_the_device_tree_is_believed_before_dmi(tmp_path: Path) -> None:
    for path, name in (("proc/device-tree/model", "Jetson"), ("sys/class/dmi/id/product_name", "")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(name)
    assert board_name(tmp_path) == "Jetson"
    (tmp_path / "proc/device-tree/model").write_text("\0")
    (tmp_path / "sys/class/dmi/id/product_name").write_text("NUC")
    assert board_name(tmp_path) == "NUC"


def test_this_machine_is_read_with_the_clock_that_was_given(tmp_path: Path) -> None:
    clock = FakeClock(42.0)
    reading = MachineSensors(disk=tmp_path, clock=clock).read()
    assert reading.at_s == 42.0
    assert reading.memory.available_bytes is not None
    assert reading.memory.total_bytes is not None
    assert 0 < reading.memory.available_bytes <= reading.memory.total_bytes
    assert reading.memory.resident_bytes is not None
    assert reading.memory.resident_bytes > 1_000_000
    assert reading.storage.free_bytes is not None
    assert reading.system.uptime_s is not None
    assert reading.system.uptime_s > 0
    assert reading.cpu.percent is not None
    assert 0 <= reading.cpu.percent <= 100
    assert reading.thermal.soc_temp_c is None or -40 < reading.thermal.soc_temp_c < 130


def test_a_disk_that_has_gone_is_unknown(tmp_path: Path) -> None:
    assert MachineSensors(disk=tmp_path / "gone").read().storage.free_bytes is None
