"""The files on a device's disk and their changes: type, mode and owner of each path, and the content of files.

Only the paths in `_IGNORED` are left out.
"""

from __future__ import annotations

from collections.abc import Callable

Files = dict[str, str]
Changes = dict[str, tuple[str | None, str | None]]

_IGNORED = (
    *("/dev", "/proc", "/sys", "/run", "/tmp", "/media"),
    # Written by any running Debian.
    *("/var/log", "/var/tmp/systemd-private*", "/var/lib/systemd", "/var/lib/private", "/var/cache/private"),
    # Lists, caches and backups of the package managers.
    *(
        "/var/lib/apt",
        "/var/cache/apt",
        "/var/lib/dpkg",
        "/var/cache/debconf",
        "/var/cache/ldconfig",
        "/etc/ld.so.cache",
    ),
    # Backups and locks of the account tools.
    *("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock"),
)
_LEFT_OUT = " ".join(f"-path '{path}' -prune -o" for path in _IGNORED)
_LIST = rf"find / -xdev {_LEFT_OUT} -printf '%p\t%y %m %u %g %l\n'"
_SUM = f"find / -xdev {_LEFT_OUT} -type f -print0 | xargs -0 -r sha256sum -z | tr '\\0' '\\n'"


def files(run: Callable[[str], str]) -> Files:
    """List all files. `run`: runs a shell script as root on the device and returns its output."""
    found = dict(line.split("\t") for line in run(_LIST).splitlines())
    for line in run(_SUM).splitlines():
        digest, _, path = line.partition("  ")
        found[path] = f"{found.get(path, '')}{digest}"
    return found


def changes(before: Files, now: Files) -> Changes:
    """Each changed path with its previous and present state."""
    return {
        path: (before.get(path), now.get(path))
        for path in sorted(before.keys() | now.keys())
        if before.get(path) != now.get(path)
    }
