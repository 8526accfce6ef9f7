"""Root file systems of Ubuntu, from Ubuntu's archive, verified with the keys that Debian packages."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.boot import rootfs

SUITES = {"jammy": "22.04", "noble": "24.04"}


class UnreachableError(Exception):
    """Ubuntu's archive cannot be reached from this machine."""


def root(packages: Sequence[str], suite: str) -> Path:
    """A root file system to copy from, created once. Raises UnreachableError."""
    kept = rootfs.CACHE / suite
    if not kept.exists():
        keys = rootfs.debian(("ubuntu-archive-keyring",), "trixie", "amd64") / "usr/share/keyrings"
        fresh = rootfs.CACHE / f"{suite}.unfinished"
        shutil.rmtree(fresh, ignore_errors=True)
        made = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--components=main,universe", f"--keyring={keys}",
             f"--include={','.join(('apt', *packages))}", "--dpkgopt=path-exclude=/usr/share/doc/*", suite, str(fresh)],
            capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            raise UnreachableError(f"creating Ubuntu {SUITES[suite]} failed: {made.stderr.strip()[-300:]}")
        fresh.rename(kept)
    return kept
