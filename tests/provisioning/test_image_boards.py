"""The disk of each board: its partitions, its loader, and what the board needs to start it. Nothing is booted here."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.program_files import imported

_IMAGE = ROOT / "provisioning/image"
_MIB = 2**20
_MACHINES = {"generic-amd64": 0x8664, "arm64": 0xAA64, "rpi": 0xAA64}
"""How the header of a program for UEFI names the processor."""
_DTB = "usr/lib/linux-image-6.1/broadcom/bcm2711-rpi-4-b.dtb"


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    sys.path.insert(0, str(_IMAGE))
    try:
        yield imported(_IMAGE / "build.py")
    finally:
        sys.path.remove(str(_IMAGE))


@pytest.mark.provision
@pytest.mark.slow
@pytest.mark.parametrize("board", _MACHINES)
def test_the_disk_of_a_board_has_two_systems_and_what_starts_them(
    build: ModuleType, tmp_path: Path, board: str
) -> None:
    missing = [tool for tool in build.TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"missing: {', '.join(missing) or 'root, to unpack packages'}")
    system, disk = tmp_path / "system", tmp_path / "disk.img"
    (system / _DTB).parent.mkdir(parents=True)
    (system / _DTB).write_text("a device tree")
    slot = tmp_path / "slot.img"
    build.make_ext4(slot, build.SLOT_BYTES, "root", system)
    described = build.BOARDS[board]
    build.make_disk(tmp_path, system, slot, disk, described)

    shown = subprocess.run(["sfdisk", "--json", disk], capture_output=True, text=True, check=True).stdout
    table = json.loads(shown)["partitiontable"]["partitions"]
    assert [one["name"] for one in table] == ["esp", "root-a", "root-b", "state"]
    assert {one["type"] for one in table[1:3]} == {described.root_type}
    loader = _on_esp(disk, f"EFI/BOOT/{described.loader}")
    header = struct.unpack_from("<I", loader, 0x3C)[0]
    assert struct.unpack_from("<H", loader, header + 4)[0] == _MACHINES[board]
    menu = _on_esp(disk, "appliance.grub.cfg").decode()
    assert f"console={described.serial}" in menu
    assert "@" not in menu
    assert _on_esp(disk, "grub/grubenv").startswith(b"# GRUB Environment Block")
    if board == "rpi":
        assert b"kernel=u-boot.bin\n" in _on_esp(disk, "config.txt")
        assert _on_esp(disk, "bcm2711-rpi-4-b.dtb") == b"a device tree"
        assert b"U-Boot 20" in _on_esp(disk, "u-boot.bin")
        assert len(_on_esp(disk, "start4.elf")) > _MIB


def test_a_board_without_an_image_is_refused_with_the_reason(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar"
    bundle.touch()
    for board, reason in (("jetson", "Use provisioning/install.sh on JetPack"), ("toaster", "known: generic-amd64")):
        done = subprocess.run(
            [sys.executable, _IMAGE / "build.py", "--board", board, "--bundle", bundle], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert reason in done.stderr


def _on_esp(disk: Path, name: str) -> bytes:
    """A file of the first partition."""
    shown = subprocess.run(["mcopy", "-i", f"{disk}@@{_MIB}", f"::{name}", "-"], capture_output=True, check=True)
    return shown.stdout
