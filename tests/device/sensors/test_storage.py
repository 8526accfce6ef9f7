"""The disk under a folder, and how worn it says it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.device.sensors import storage
from appliance.device.sensors.group import Answer
from appliance.readings import Storage
from tests import boards

CARD = "sys/devices/mmc0:0001/block/mmcblk0"


def card(root: Path, life: str, reserve: str = "0x01", name: str = CARD) -> None:
    boards.put(root, f"{name}/device/life_time", f"{life}\n")
    boards.put(root, f"{name}/device/pre_eol_info", f"{reserve}\n")


def under(root: Path, folder: Path, target: str) -> None:
    """The kernel's link from the number of a folder's device to the device."""
    device = os.stat(folder).st_dev
    link = root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    link.parent.mkdir(parents=True)
    link.symlink_to(root / target)


def read(root: Path) -> Answer[Storage]:
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
def test_wear_is_the_worse_of_both_kinds_of_cells(life: str, percent: float | None, tmp_path: Path) -> None:
    card(tmp_path, life)
    boards.put(tmp_path, f"{CARD}/mmcblk0p2/partition", "2\n")
    under(tmp_path, tmp_path, f"{CARD}/mmcblk0p2")
    assert read(tmp_path).group.wear_percent == percent


@pytest.mark.parametrize(
    ("reserve", "low"), [("0x01", False), ("0x02", True), ("0x03", True), ("0x00", None), ("", None)]
)
def test_a_reserve_that_is_not_normal_is_low(reserve: str, low: bool | None, tmp_path: Path) -> None:
    card(tmp_path, "0x01 0x01", reserve)
    under(tmp_path, tmp_path, CARD)
    assert read(tmp_path).group.reserve_low is low


def test_the_wear_of_another_disk_is_not_ours(tmp_path: Path) -> None:
    card(tmp_path, "0x09 0x09", name="sys/block/mmcblk0")
    boards.put(tmp_path, "sys/devices/pci/nvme0/nvme0n1/nvme0n1p1/partition", "1\n")
    under(tmp_path, tmp_path, "sys/devices/pci/nvme0/nvme0n1/nvme0n1p1")
    answer = read(tmp_path)
    assert answer.group.wear_percent is None
    assert answer.why["wear_percent"] == "an NVMe drive tells it only to root: `nvme smart-log /dev/nvme0n1`"


def test_on_an_overlay_the_machines_only_card_is_meant(tmp_path: Path) -> None:
    card(tmp_path, "0x02 0x01", name="sys/block/mmcblk0")
    card(tmp_path, "0x09 0x09", name="sys/block/mmcblk0boot0")
    assert read(tmp_path).group.wear_percent == 20.0
    card(tmp_path, "0x05 0x05", name="sys/block/mmcblk1")
    assert read(tmp_path).group.wear_percent is None


def test_a_disk_that_has_gone_is_unknown(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    answer = storage.read(storage.find(gone, tmp_path))
    assert answer.group == Storage()
    assert answer.why["free_bytes"] == f"{gone} cannot be read (No such file or directory)"
