"""The update guard on a folder in place of /opt/appliance."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import ROOT

PROGRAM = ROOT / "systemd/libexec/update-guard"


class Tree:
    """Releases, the link and the state of a device."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def release(self, name: str) -> Path:
        """Add a complete release."""
        folder = self.base / "releases" / name
        (folder / "venv/bin").mkdir(parents=True)
        (folder / "venv/bin/python").touch()
        (folder / "complete").touch()
        return folder

    def link(self, name: str) -> None:
        current = self.base / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(f"releases/{name}")

    @property
    def linked(self) -> str:
        return os.readlink(self.base / "current").removeprefix("releases/")

    @property
    def state(self) -> dict[str, str]:
        lines = (self.base / "update/state").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def guard(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the guard. `path`: a folder of programs that replace the system's."""
        surroundings = {"APPLIANCE_BASE": str(self.base), "PATH": os.environ["PATH"]}
        if path is not None:
            surroundings["PATH"] = f"{path}:{surroundings['PATH']}"
        return subprocess.run([str(PROGRAM), *arguments], env=surroundings, capture_output=True, text=True)


Facts = tuple[str, ...]
"""phase, committed, trying, starts, linked, whole linked, whole committed, whole trying, another whole release"""


def decide(facts: Iterable[Facts]) -> list[tuple[str, ...]]:
    """What the guard decides: phase, committed, trying, starts, and the release to run; absent is `-`."""
    lines = "".join(" ".join(one) + "\n" for one in facts)
    done = subprocess.run([str(PROGRAM), "decide"], input=lines, capture_output=True, text=True, check=True)
    return [tuple(line.split(" ")) for line in done.stdout.splitlines()]
