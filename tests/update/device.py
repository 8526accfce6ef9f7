"""A device for tests: its folders, and what it does with a repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from appliance.update import staging, unpack
from appliance.update.offer import Offer
from appliance.update.places import UpdatePlaces
from appliance.update.proxy import Proxy
from appliance.update.sources import Fetcher
from appliance.update.staging import Wanted
from tests.update.guard import PROGRAM
from tests.update.operator import NOW_S, PLATFORM, Operator


class Device:
    """A device below a folder. It trusts this operator."""

    def __init__(self, root: Path, operator: Operator | None) -> None:
        self.places, self.said = UpdatePlaces(root), list[str]()
        for folder in (self.places.releases, self.places.work, self.places.root_key.parent):
            folder.mkdir(parents=True)
        if operator is not None:
            shutil.copy(operator.root_key, self.places.root_key)

    def fetch(
        self,
        url: str,
        *,
        now_s: float = NOW_S,
        by_person: bool = True,
        downgrade: bool = False,
        device_id: str = "a",
        grace_s: float = 60.0,
        through: Proxy | None = None,
    ) -> Offer:
        """Fetch what a repository offers into the staging folder."""
        wanted = Wanted(url, "stable", PLATFORM, device_id, by_person=by_person, downgrade=downgrade)
        fetcher = Fetcher(self.places.work, proxy=through, plain_http=True, grace_s=grace_s)
        if downgrade:
            offer = staging.check(self.places, wanted, fetcher, now_s).offer
            assert offer is not None
            unpack.allow_downgrade(self.places, offer.name)
        return staging.fetch(self.places, wanted, fetcher, now_s, self.said.append)

    def install(self, offer: Offer, *, now_s: float = NOW_S) -> None:
        """Install what is staged, as root does, put it into use and keep it."""
        unpack.unpack(self.places, offer.name, PLATFORM, now_s, make)
        if (self.places.base / "current").is_symlink():
            self.guard("try", offer.name, str(offer.number))
            self.guard("commit")
        else:
            (self.places.base / "current").symlink_to(f"releases/{offer.name}")
            self.guard("adopt")

    def guard(self, *arguments: str) -> None:
        surroundings = {"APPLIANCE_BASE": str(self.places.base), "PATH": os.environ["PATH"]}
        subprocess.run([str(PROGRAM), *arguments], env=surroundings, check=True)

    @property
    def unchanged(self) -> bool:
        """Whether nothing is installed and nothing of a failed attempt is left."""
        return not any(self.places.releases.iterdir()) and not self.places.staging.exists()


def make(bundle: Path, release: Path) -> None:
    """Make an environment without packages."""
    (release / "venv/bin").mkdir(parents=True)
    (release / "venv/bin/python").touch()
    shutil.copytree(bundle / "wheels", release / "wheels")
