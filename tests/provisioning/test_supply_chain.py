"""The bill of materials: what is read from a disk image, and what the lock file holds pip to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.program_files import imported

_STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 with a second line: and a colon

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: tzdata
Status: install ok installed
Architecture: all
Version: 1:2025a-1
"""
_MISSING = [
    tool for tool in ("sfdisk", "debugfs", "mke2fs") if shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin") is None
]


image_packages, locked = imported(ROOT / "provisioning/image_packages.py"), imported(ROOT / "provisioning/locked.py")


@pytest.mark.skipif(bool(_MISSING), reason=f"missing: {', '.join(_MISSING)}")
def test_an_image_says_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
    system = tmp_path / "system"
    wheels = system / "opt/appliance/releases/0.1.0-abc/wheels"
    wheels.mkdir(parents=True)
    (wheels / "numpy-2.2.6-cp311-cp311-linux_x86_64.whl").touch()
    for name, text in (("var/lib/dpkg/status", _STATUS), ("usr/lib/os-release", 'ID=debian\nVERSION_ID="12"\n')):
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    slot, disk = tmp_path / "slot.img", tmp_path / "disk.img"
    with slot.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", system, slot], check=True)
    with disk.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(
        ["sfdisk", "-q", disk], input='label: gpt\nstart=2048, size=8192, name="root-a"\n', text=True, check=True
    )
    subprocess.run(["dd", f"if={slot}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc", "status=none"], check=True)
    found = image_packages.contents(disk)
    assert (found.distribution, found.wheels) == ("debian-12", ["numpy==2.2.6"])
    assert [one.name for one in found.debian] == ["libc6", "tzdata"]
    assert found.debian[0].component("debian-12")["purl"] == (
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"
    )
    with pytest.raises(image_packages.NoImage, match="root-a"):
        image_packages.contents(slot)


def test_pip_and_setuptools_are_held_to_the_lock_file_too() -> None:
    lines = locked.select(ROOT / "provisioning/requirements.lock", ["pip", "setuptools"])
    assert [line.partition("==")[0] for line in lines] == ["pip", "setuptools"]
    assert all(" --hash=sha256:" in line for line in lines)
    script = (ROOT / "provisioning/install.sh").read_text()
    assert "--no-build-isolation" in script, "an isolated build would fetch another setuptools"
