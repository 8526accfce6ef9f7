"""Signed updates work on a device however it was installed: by a Debian package, or in an image that boots later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.conftest import ROOT
from tests.provisioning.blank import BlankDevice, blank_disk, switched_on
from tests.provisioning.conftest import PREPARED
from tests.provisioning.offers import Offers

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_APPLIANCE = "/usr/local/bin/appliance"
_SETTINGS = "[update]\ncommit_after_s = 30\n"
_LONG_S = 900.0


@pytest.fixture
def disk(can_provision: None) -> Iterator[Path]:
    with blank_disk("bookworm", PREPARED) as root:
        yield root


def _by_package(disk: Path, offers: Offers, folder: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "provisioning/deb.py"),
        str(offers.bundle),
        "--version",
        "0.1.0",
        "--out",
        str(folder),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (package,) = folder.glob("*.deb")
    with switched_on(disk, (*offers.options, f"--bind-ro={package}:/media/appliance.deb")) as device:
        code, output = device.tried("apt-get", "-y", "--no-install-recommends", "install", "/media/appliance.deb")
        assert code == 0, output


def _into_an_image(disk: Path, offers: Offers, folder: Path) -> None:
    with switched_on(disk, offers.options) as device:
        code, output = device.install("--bundle", "/media/updates/bundle.tar", "--no-start")
        assert code == 0, output
        assert device.get("/health")[0] == 0


_ORIGINS: Mapping[str, Callable[[Path, Offers, Path], None]] = {
    "a package": _by_package, "an image": _into_an_image,
}  # fmt: skip


@pytest.mark.parametrize("origin", _ORIGINS)
def test_a_device_made_in_another_way_is_updated(
    origin: str, disk: Path, offers: Offers, tmp_path: Path, measured: Measured
) -> None:
    _ORIGINS[origin](disk, offers, tmp_path)
    with switched_on(disk, offers.options) as device:
        device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200, _LONG_S)
        offers.be_trusted(device, _SETTINGS)
        device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200, _LONG_S)
        version = "0.2.0" if origin == "a package" else "0.2.1"
        code, output = device.tried(_APPLIANCE, "update", "install", offers.offer(version, {}))
        assert code == 0, output + device.journal("appliance-update-install.service")
        device.wait_until("kept", lambda: _kept(device).startswith(f"{version}-"), _LONG_S)
        assert device.get("/health")[1]["version"] == version
        device.run(_APPLIANCE, "update", "rollback")
        device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200, _LONG_S)
        assert device.get("/health")[1]["version"] != version
        measured(f"{next(line for line in output.splitlines() if line.startswith('fetching'))}; kept, and went back")


def _kept(device: BlankDevice) -> str:
    lines = device.run("cat", "/opt/appliance/update/state").splitlines()
    return dict(line.split("=", 1) for line in lines)["committed"]
