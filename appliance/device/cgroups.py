"""The control group of this process and its ancestors.

Rules of this file:
- A limit of a cgroup applies to the group and all its descendants, so limits must be read up to the root.
- A controller is mounted as v1 or v2; hybrid systems have mounts of both versions. All of them are returned.
- In a container the mount shows only a part of the tree; the ancestors end at the root of the mount.
- An unreadable file sets no limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from appliance.device import kernel_files


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """This process in one mounted hierarchy: the folder of its cgroup, followed by its ancestors."""

    version: int
    lineage: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Mount:
    """One mounted hierarchy: the cgroup at its top, and its mount point relative to the file system root."""

    version: int
    top: str
    folder: str


def hierarchies(controller: str, root: Path = Path("/")) -> list[Hierarchy]:
    """The hierarchies that may contain a controller (`cpu`, `memory`) for this process; see cgroups(7)."""
    groups = _groups(controller, root)
    return [
        Hierarchy(mount.version, tuple(_lineage(root / mount.folder, mount.top, groups[mount.version])))
        for mount in _mounts(controller, root)
        if mount.version in groups
    ]


def _groups(controller: str, root: Path) -> dict[int, str]:
    """The cgroup of this process in the hierarchy of each version."""
    groups = {}
    for line in kernel_files.lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups[2] = path
        elif controller in controllers.split(","):
            groups[1] = path
    return groups


def _mounts(controller: str, root: Path) -> list[_Mount]:
    """The mounts in mountinfo, see proc_pid_mountinfo(5); without any, the usual mount points."""
    mounts = []
    for line in kernel_files.lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        top, folder = _plain(fields[3]), _plain(fields[4]).lstrip("/")
        if kind[0] == "cgroup2":
            mounts.append(_Mount(2, top, folder))
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            mounts.append(_Mount(1, top, folder))
    usual = (_Mount(1, "/", f"sys/fs/cgroup/{name}") for name in ("cpu,cpuacct", controller))
    return mounts or [_Mount(2, "/", "sys/fs/cgroup"), *usual]


def _lineage(mounted: Path, top: str, group: str) -> Iterator[Path]:
    """The folders of a cgroup and of its ancestors, as far as this mount shows them."""
    path = PurePosixPath(group)
    inside = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()
    if ".." in inside.parts:  # outside of this cgroup namespace
        inside = PurePosixPath()
    for part in (inside, *inside.parents):
        yield mounted / part


def _plain(text: str) -> str:
    """Decode the octal escapes of a path in mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
