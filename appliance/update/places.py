"""Where an update keeps its files, and what goes wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError


class UpdateError(ApplianceError):
    """The release in use stays in use, or is again.

    Codes: update_no_root, update_unreachable, update_refused, update_expired, update_absent, update_old,
    update_undone_before, update_space, update_busy, update_failed.
    """

    code = "update_failed"


FAULTS = frozenset({"update_refused", "update_expired", "update_old", "update_space", "update_failed"})
"""What a person should know of. The rest passes by itself, is no fault, or has a finding of its own."""

UNREACHABLE = "update_unreachable"
ACCOUNT = "appliance-update"
"""Fetches updates without root's rights."""


def unreadable(path: Path) -> UpdateError:
    why = f"{path} cannot be read by the account {ACCOUNT}, which fetches updates without root's rights"
    return UpdateError(f"{why}. Copy it to /var/tmp, or mount the USB stick for all users", UNREACHABLE)


@dataclass(frozen=True, slots=True)
class UpdatePlaces:
    """The folders of updates on a device. `root`: of the machine's files."""

    root: Path = Path("/")

    @property
    def base(self) -> Path:
        """The installed releases; root's."""
        return self.root / "opt/appliance"

    @property
    def releases(self) -> Path:
        return self.base / "releases"

    @property
    def state(self) -> Path:
        """What the update guard knows."""
        return self.base / "update/state"

    @property
    def trusted(self) -> Path:
        """The metadata that root has verified."""
        return self.base / "update/trusted"

    @property
    def root_key(self) -> Path:
        """The operator's root of trust: TUF metadata that names the keys."""
        return self.root / "etc/appliance-update/root.json"

    @property
    def work(self) -> Path:
        """The only folder of the unprivileged part: what was fetched."""
        return self.root / "var/lib/appliance-update"

    @property
    def staging(self) -> Path:
        return self.work / "staging"

    @property
    def unpacked(self) -> Path:
        """The repository of a file, while that is read."""
        return self.work / "file"

    @property
    def last_check(self) -> Path:
        """What the last check found."""
        return self.work / "last-check.json"

    @property
    def last_install(self) -> Path:
        """Why root's part of the last attempt failed; absent: it did not."""
        return self.base / "update/last-install.json"

    @property
    def lock(self) -> Path:
        """Held by whoever installs a release: the updater or the installer."""
        return self.root / "run/appliance-install.lock"
