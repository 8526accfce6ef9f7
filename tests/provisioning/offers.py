"""An operator whose repositories a device in a container sees at /media/updates."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.provisioning.blank import BlankDevice
from tests.provisioning.variants import variant
from tests.update.operator import Operator

_SEEN_AT = "/media/updates"


class Offers:
    """Signed releases that are variants of one bundle. `folder`: what the device sees."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        folder.chmod(0o755)  # the account that fetches updates is not root
        self._folder, self._number = folder, 0
        self.bundle = folder / "bundle.tar"
        shutil.copy(bundle, self.bundle)
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self._operator = Operator(folder / "repository", now)
        shutil.copy(self._operator.root_key, folder / "root.json")

    @property
    def options(self) -> tuple[str, ...]:
        """For systemd-nspawn."""
        return (f"--bind-ro={self._folder}:{_SEEN_AT}",)

    def offer(self, version: str, more: Mapping[str, str]) -> str:
        """Offer a release with this version and changed modules; returns the path of its repository on the device."""
        made = variant(self.bundle, version, more, self._folder)
        self._number += 1
        self._operator.offer(made, version, self._number)
        made.unlink()
        shutil.copytree(self._operator.folder, self._folder / version, copy_function=os.link)
        return f"{_SEEN_AT}/{version}"

    def install(self, device: BlankDevice, settings: str) -> None:
        """Install the bundle itself on a blank device, which then trusts the operator."""
        code, output = device.install("--bundle", f"{_SEEN_AT}/bundle.tar")
        assert code == 0, output
        self.be_trusted(device, settings)

    def be_trusted(self, device: BlankDevice, settings: str) -> None:
        """Give an installed device the operator's root of trust, and settings."""
        device.write("/etc/appliance/appliance.toml", settings, owner="root:appliance")
        device.run("cp", f"{_SEEN_AT}/root.json", "/etc/appliance-update/root.json")
        device.run("systemctl", "restart", "appliance")


def fetched_of(output: str) -> str:
    """How much the updater says it has fetched, the last time, among its and systemd's lines."""
    return [line for line in output.splitlines() if line.startswith("fetching ")][-1]
