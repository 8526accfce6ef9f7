"""The disk under a folder, and its wear."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.device.sensors import storage
from appliance.device.sensors.group import GroupReading
from appliance.readings import Storage
from tests import boards

CARD = "sys/devices/mmc0:0001/block/mmcblk0"


def card(root: Path, life: str, reserve: str = "0x01", name: str = CARD) -> None:
    boards.put(root, f"{name}/device/life_time", f"{life}\n")
    boards.put(root, f"{name}/device/pre_eol_info", f"{reserve}\n")


def under(root: Path, folder: Path, target: str) -> None:
    """Create the kernel's link from the device number of a folder to the device."""
    device = os.stat(folder).st_dev
    link = root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    link.parent.mkdir(parents=True)
    link.symlink_to(root / target)


def read(root: Path) -> GroupReading[Storage]:
    return storage.read(storage.find(root, root))


@pytest.mark.parametrize(
    ("life", "percent"),
    [
        ("0x01 0x01", 10.0),
        ("0x03 0x01", 30.0),
        ("0x00 0x0a", 100.0),
        ("0x0b 0x01", 100.0),
        ("0x00 0x00", None),
        ("0xff 0x0c", None),
        ("many", None),
    ],
)
def test_wear_is_that_of_the_more_worn_cell_type(life: str, percent: float | None, tmp_path: Path) -> None:
    card(tmp_path, life)
    boards.put(tmp_path, f"{CARD}/mmcblk0p2/partition", "2\n")
    under(tmp_path, tmp_path, f"{CARD}/mmcblk0p2")
    assert read(tmp_path).group.wear_percent == percent


@pytest.mark.parametrize(
    ("reserve", "low"), [("0x01", False), ("0x02", True), ("0x03", True), ("0x00", None), ("", None)]
)
def test_a_reserve_below_normal_is_low(reserve: str, low: bool | None, tmp_path: Path) -> None:
    card(tmp_path, "0x01 0x01", reserve)
    under(tmp_path, tmp_path, CARD)
    assert read(tmp_path).group.reserve_low is low


def test_the_wear_of_another_disk_is_ignored(tmp_path: Path) -> None:
    card(tmp_path, "0x09 0x09", name="sys/block/mmcblk0")
    boards.put(tmp_path, "sys/devices/pci/nvme0/nvme0n1/nvme0n1p1/partition", "1\n")
    under(tmp_path, tmp_path, "sys/devices/pci/nvme0/nvme0n1/nvme0n1p1")
    result = read(tmp_path)
    assert result.group.wear_percent is None
    assert result.why["wear_percent"] == "NVMe drives report wear to root only. Run: sudo nvme smart-log /dev/nvme0n1"


def test_on_an_overlay_the_only_card_of_the_machine_is_used(tmp_path: Path) -> None:
    card(tmp_path, "0x02 0x01", name="sys/block/mmcblk0")
    card(tmp_path, "0x09 0x09", name="sys/block/mmcblk0boot0")
    assert read(tmp_path).group.wear_percent == 20.0
    card(tmp_path, "0x05 0x05", name="sys/block/mmcblk1")
    assert read(tmp_path).group.wear_percent is None


def test_the_values_of_a_missing_disk_are_unknown(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    result = storage.read(storage.find(gone, tmp_path))
    assert result.group == Storage()
    assert result.why["free_bytes"] == f"cannot read {gone} (No such file or directory)"
