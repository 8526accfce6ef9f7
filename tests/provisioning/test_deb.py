"""The Debian package: install, upgrade, remove and purge with apt, without a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.conftest import ROOT
from tests.program_files import imported
from tests.provisioning.blank import BlankDevice
from tests.provisioning.conftest import Bundle, offline

_PROGRAM = ROOT / "provisioning/deb.py"


@pytest.fixture(scope="module")
def device(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlankDevice]:
    """A device without a network, with two versions of the package in /media."""
    folder = tmp_path_factory.mktemp("deb")
    for version in ("0.1.0", "0.1.1"):
        command = [
            sys.executable,
            str(_PROGRAM),
            str(bundle("amd64", "3.11")),
            "--version",
            version,
            "--out",
            str(folder),
        ]
        subprocess.run(command, check=True, capture_output=True)
    with offline(bundle, f"--bind-ro={folder}:/media/deb") as device:
        yield device


@pytest.mark.provision
@pytest.mark.slow
def test_apt_installs_upgrades_removes_and_purges(device: BlankDevice, measured: Measured) -> None:
    before = device.files()
    assert _apt(device, "install", "/media/deb/edge-detection-appliance_0.1.0_amd64.deb") == 0
    assert device.get("/health/ready")[0] == 200
    device.write("/etc/appliance/appliance.toml", "[flow]\nmax_side = 320\n", owner="root:appliance")
    assert _apt(device, "install", "/media/deb/edge-detection-appliance_0.1.1_amd64.deb") == 0
    assert device.get("/health/ready")[0] == 200
    assert "max_side = 320" in device.run("cat", "/etc/appliance/appliance.toml")
    assert _apt(device, "remove", "edge-detection-appliance") == 0
    assert not device.run("find", "/opt/appliance", "-name", "current")
    assert "max_side = 320" in device.run("cat", "/etc/appliance/appliance.toml")
    assert _apt(device, "purge", "edge-detection-appliance") == 0
    assert device.leftovers(before) == {}
    measured("installed, upgraded, removed and purged with apt; no file differs from before")


def test_what_is_not_a_bundle_is_refused(tmp_path: Path) -> None:
    deb = imported(_PROGRAM)
    for content in (b"", b"junk" * 1000):
        (tmp_path / "bundle.tar").write_bytes(content)
        with pytest.raises(deb.CannotWrap, match="is not a bundle"):
            deb.wrap(tmp_path / "bundle.tar", None, "", tmp_path)


def _apt(device: BlankDevice, *arguments: str) -> int:
    code, output = device.tried("apt-get", "-y", "--no-install-recommends", *arguments)
    print(output)
    return code
