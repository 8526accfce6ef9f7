"""Whether what `provisioning/install.sh` put on this machine is there as it was put, links, units, who may read what,
and whether its memory limit holds.

Nothing is said of a machine on which it is not installed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from appliance.commands.doctor.check import Check

BASE = "opt/appliance"
UNITS = (
    "appliance.target",
    "appliance.service",
    "appliance.socket",
    "appliance-boot-check.service",
    "appliance-at-boot.service",
    "appliance-console.service",
)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ANYBODY = stat.S_IRWXO
_FORBIDDEN = {
    "opt/appliance": _OTHERS_WRITE,
    "opt/appliance/models": _OTHERS_WRITE,
    "etc/appliance": _OTHERS_WRITE | _ANYBODY,
    "etc/appliance/appliance.toml": _OTHERS_WRITE | _ANYBODY,
    "etc/appliance/credentials": stat.S_IRWXG | _ANYBODY,
}
"""What nobody but root may do with each."""


def examine(root: Path, owner_uid: int = 0) -> Iterator[Check]:
    """The checks of an installed box. `owner_uid`: whose all of it should be."""
    current = root / BASE / "current"
    if not current.is_symlink():
        return
    yield _release(current)
    yield _units(root)
    yield _permissions(root, owner_uid)
    yield _memory_limit(root)


def _release(current: Path) -> Check:
    name = current.readlink().name
    whole = (current / "complete").exists()
    return Check("release", whole, name if whole else f"{name} is not complete",
                 "Run provisioning/install.sh again.")  # fmt: skip


def _units(root: Path) -> Check:
    enabled = {path.name for path in root.glob("etc/systemd/system/*.*/appliance*") if path.is_symlink()}
    missing = [unit for unit in UNITS if unit not in enabled]
    if missing:
        return Check("units", False, f"not enabled: {', '.join(missing)}",
                     f"Let them start at each boot: `sudo systemctl enable {' '.join(missing)}`.")  # fmt: skip
    return Check("units", True, "all start at each boot")


def _permissions(root: Path, owner_uid: int) -> Check:
    wrong, unseen = [], []
    for name, forbidden in _FORBIDDEN.items():
        path = root / name
        try:
            found = path.stat()
        except FileNotFoundError:
            wrong.append(f"/{name} is missing")
        except PermissionError:
            unseen.append(f"/{name}")
        else:
            if found.st_uid != owner_uid:
                wrong.append(f"/{name} is not root's")
            if found.st_mode & forbidden:
                wrong.append(f"/{name} is open to others ({stat.filemode(found.st_mode)})")
    if wrong:
        return Check("permissions", False, "; ".join(wrong),
                     "Put them right: `sudo /opt/appliance/current/systemd/install.sh`; a file by hand, with "
                     "`sudo chmod` and `sudo chown`.")  # fmt: skip
    if unseen:
        return Check("permissions", True, f"as they should be; with sudo also looked at: {', '.join(unseen)}")
    return Check("permissions", True, "settings, secrets and models are root's, and closed to others")


def _memory_limit(root: Path) -> Check:
    """A Raspberry Pi's firmware adds `cgroup_disable=memory` for the kernel; systemd then ignores limits in silence."""
    groups = root / "sys/fs/cgroup"
    try:
        held = "memory" in (groups / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:
        if not groups.is_dir():
            return Check("memory limit", True, "unknown: this kernel shows no control groups")
        held = (groups / "memory").is_dir()  # version 1
    if held:
        return Check("memory limit", True, "the kernel holds the service to it")
    return Check("memory limit", False, "the kernel does not count memory, so the service may take all of it",
                 "Add ` cgroup_enable=memory` to the end of the one line in /boot/firmware/cmdline.txt, or to your "
                 "boot loader's kernel options, and restart the box.")  # fmt: skip
