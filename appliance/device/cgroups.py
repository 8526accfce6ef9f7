"""Where the control group of this process lies, and those above it.

Rules of this file:
- What is set on a cgroup holds for it and for all below it, so a reader of limits walks the way up.
- A controller is mounted as v1 or as v2, on hybrid systems beside mounts of the other kind: each is given.
- In a container the mount shows a part of the tree only; the way up ends at its root.
- What cannot be read bounds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from appliance.device import kernel_files


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """This process in one mounted hierarchy: the folder of its cgroup first, then those above it."""

    version: int
    way_up: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Mount:
    """One mounted hierarchy: the cgroup at its top, and where it lies below the root of the file system."""

    version: int
    top: str
    folder: str


def hierarchies(controller: str, root: Path = Path("/")) -> list[Hierarchy]:
    """The hierarchies that may hold a controller (`cpu`, `memory`) for this process; see cgroups(7)."""
    groups = _groups(controller, root)
    return [
        Hierarchy(mount.version, tuple(_way_up(root / mount.folder, mount.top, groups[mount.version])))
        for mount in _mounts(controller, root)
        if mount.version in groups
    ]


def _groups(controller: str, root: Path) -> dict[int, str]:
    """This process' cgroup in the hierarchy of each version."""
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
    """From mountinfo; see proc_pid_mountinfo(5). Where that says nothing: where they usually are."""
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


def _way_up(mounted: Path, top: str, group: str) -> Iterator[Path]:
    """The folders of a cgroup and of all above it that this mount shows."""
    path = PurePosixPath(group)
    inside = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()
    if ".." in inside.parts:  # it is outside of our namespace
        inside = PurePosixPath()
    for part in (inside, *inside.parents):
        yield mounted / part


def _plain(text: str) -> str:
    """A path of mountinfo without its octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
