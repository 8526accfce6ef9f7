"""Check an installation by `provisioning/install.sh`: release, units, permissions, and whether its memory limit works.

A machine without one has no results.
"""

from __future__ import annotations

import grp
import stat
from collections.abc import Iterator
from pathlib import Path

from appliance.commands.doctor.check_result import CheckResult

BASE = "opt/appliance"
UNITS = (
    "appliance.target",
    "appliance.service",
    "appliance.socket",
    "appliance-boot-check.service",
    "appliance-at-boot.service",
    "appliance-console.service",
    "appliance-console.path",
    "appliance-erase.path",
    "appliance-update-check.timer",
    "appliance-update-request.path",
    "appliance-update-install.path",
)
"""Those that systemd/install.sh enables."""
_COPIES = {"systemd/units": "usr/lib/systemd/system", "systemd/libexec": "usr/libexec/appliance"}
"""Where the files in these folders of a release are installed."""
_MOST_NAMED = 3
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_ALL = stat.S_IRWXO
_FORBIDDEN = {
    "opt/appliance": _WRITABLE_BY_OTHERS,
    "opt/appliance/models": _WRITABLE_BY_OTHERS,
    "etc/appliance": _WRITABLE_BY_OTHERS | _OPEN_TO_ALL,
    "etc/appliance/appliance.toml": _WRITABLE_BY_OTHERS | _OPEN_TO_ALL,
    "etc/appliance/credentials": stat.S_IRWXG | _OPEN_TO_ALL,
}
"""Permission bits that must not be set."""
_GROUP = "appliance"
"""The service runs in this group."""
_NEEDED = {
    "etc/appliance": stat.S_IRGRP | stat.S_IXGRP,
    "etc/appliance/appliance.toml": stat.S_IRGRP,
}
"""Permission bits that this group needs."""


def examine(root: Path, owner_uid: int = 0, service_gid: int | None = None) -> Iterator[CheckResult]:
    """Check the installation, if there is one.

    `owner_uid`: the expected owner of its files. `service_gid`: the group of the service; None: look it up.
    """
    current = root / BASE / "current"
    if not current.is_symlink():
        return
    yield _release(current)
    yield _units(root)
    yield _permissions(root, owner_uid, _gid() if service_gid is None else service_gid)
    yield _memory_limit(root)


def _release(current: Path) -> CheckResult:
    name = current.readlink().name
    complete = (current / "complete").exists()
    return CheckResult(
        "release", complete, name if complete else f"{name} is incomplete", "Run provisioning/install.sh again."
    )


def _units(root: Path) -> CheckResult:
    enabled = {path.name for path in root.glob("etc/systemd/system/*.*/appliance*") if path.is_symlink()}
    missing = [unit for unit in UNITS if unit not in enabled]
    if missing:
        return CheckResult(
            "units",
            False,
            f"not enabled: {', '.join(missing)}",
            f"Enable them at boot: `sudo systemctl enable {' '.join(missing)}`.",
        )
    if foreign := _not_of_this_release(root):
        more = f" and {len(foreign) - _MOST_NAMED} more" if len(foreign) > _MOST_NAMED else ""
        return CheckResult(
            "units",
            False,
            f"missing or not those of the release in use: {', '.join(foreign[:_MOST_NAMED])}{more}",
            "Install them again, with what this board needs: `cd /opt/appliance/current/systemd/libexec && "
            "sudo ./update-guard units-change && sudo ./update-guard start`.",
        )
    return CheckResult("units", True, "all enabled, and of the release in use")


def _not_of_this_release(root: Path) -> list[str]:
    """The installed units and programs that are missing, or differ from the release's."""
    pairs = (
        (source, root / installed / source.name)
        for folder, installed in _COPIES.items()
        for source in sorted((root / BASE / "current" / folder).glob("*"))
    )
    return [target.name for source, target in pairs if not _same(source, target)]


def _same(source: Path, target: Path) -> bool:
    try:
        return source.read_bytes() == target.read_bytes()
    except OSError:
        return False


def _gid() -> int | None:
    """None: this machine has no such group, and systemd makes it at the next boot."""
    try:
        return grp.getgrnam(_GROUP).gr_gid
    except KeyError:
        return None


def _permissions(root: Path, owner_uid: int, service_gid: int | None) -> CheckResult:
    wrong, unreadable = [], []
    for name, forbidden in _FORBIDDEN.items():
        path = root / name
        try:
            status = path.stat()
        except FileNotFoundError:
            wrong.append(f"/{name} is missing")
        except PermissionError:
            unreadable.append(f"/{name}")
        else:
            if status.st_uid != owner_uid:
                wrong.append(f"/{name} is not owned by root")
            needed = _NEEDED.get(name, 0)
            if service_gid is not None and needed and (status.st_gid != service_gid or needed & ~status.st_mode):
                wrong.append(f"/{name} is closed to the group {_GROUP}, so the service cannot read it")
            if status.st_mode & forbidden:
                wrong.append(f"/{name} is accessible to other users ({stat.filemode(status.st_mode)})")
    if wrong:
        return CheckResult(
            "permissions",
            False,
            "; ".join(wrong),
            "Correct them with `sudo systemd-tmpfiles --create appliance.conf`, then restart the service. "
            "Single files: `sudo chmod` and `sudo chown`.",
        )
    if unreadable:
        return CheckResult(
            "permissions", None, f"correct as far as readable; not checked without sudo: {', '.join(unreadable)}"
        )
    return CheckResult("permissions", True, "settings, secrets and models belong to root and are closed to other users")


def _memory_limit(root: Path) -> CheckResult:
    """Raspberry Pi firmware passes `cgroup_disable=memory` to the kernel; systemd then ignores limits silently."""
    groups = root / "sys/fs/cgroup"
    try:
        enforced = "memory" in (groups / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:
        if not groups.is_dir():
            return CheckResult("memory limit", None, "unknown: the kernel shows no control groups")
        enforced = (groups / "memory").is_dir()  # version 1
    if enforced:
        return CheckResult("memory limit", True, "enforced by the kernel")
    return CheckResult(
        "memory limit",
        False,
        "not enforced: the kernel does not account for memory",
        "Append ` cgroup_enable=memory` to the line in /boot/firmware/cmdline.txt, or to the kernel "
        "options of your boot loader, and reboot.",
    )
