"""Collect the files of a support bundle. What cannot be had is replaced by a line that says why."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from appliance import __version__, programs
from appliance.commands import board
from appliance.commands.doctor.check_result import CheckResult
from appliance.commands.doctor.examine import examine
from appliance.errors import ApplianceError
from appliance.models import store
from appliance.settings import loader
from appliance.settings.schema import Settings

_REPORTS = ("health.json", "history-hour.json", "history-day.json", "settings.toml", "log.txt", "audit.json")
_JOURNAL = ("journalctl", "--unit=appliance*", "--lines=5000", "--output=short-iso", "--no-pager", "--quiet")
_JOURNAL_S = 20.0
_MARKS = {True: "ok  ", False: "FAIL", None: "?   "}


def collect(settings: Settings, report: Callable[[str], bytes], root: Path = Path("/")) -> dict[str, bytes]:
    """All files by name. `report`: asks the running service; what it does not answer is missing."""
    files: dict[str, bytes] = {}
    for name in _REPORTS:
        files[name] = _attempt(lambda name=name: report(name))  # type: ignore[misc]
    if not files["settings.toml"].startswith(b"#"):
        files["settings.toml"] = loader.describe(settings).encode()
    files["versions.txt"] = _attempt(lambda: _versions(root).encode())
    files["board.txt"] = _attempt(lambda: "\n".join(board.table(board.find(root))).encode())
    files["doctor.txt"] = _attempt(lambda: "\n".join(map(_line, examine(settings, root))).encode())
    files["journal.txt"] = _attempt(_journal)
    files |= _manifests(Path(settings.model.dir))
    return files


def _attempt(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except (ApplianceError, OSError, ValueError) as error:
        return f"not available: {error}\n".encode()


def _line(result: CheckResult) -> str:
    fix = f"\n       -> {result.fix}" if result.ok is False else ""
    return f"{_MARKS[result.ok]} {result.name:<14} {result.text}{fix}"


def _versions(root: Path) -> str:
    release = root / "etc/os-release"
    packages = sorted({f"{one.metadata['Name']} {one.version}" for one in importlib.metadata.distributions()})
    return "\n".join(
        [
            f"appliance {__version__}",
            f"python {sys.version.split()[0]}",
            f"kernel {platform.release()} {platform.machine()}",
            release.read_text(encoding="utf-8") if release.exists() else "",
            *packages,
        ]
    )


def _journal() -> bytes:
    entries = programs.run(_JOURNAL, timeout_s=_JOURNAL_S)
    return entries.encode() or b"no entries that this user may read; run the command with sudo\n"


def _manifests(models_dir: Path) -> dict[str, bytes]:
    files = {}
    for name in store.names(models_dir):
        path = store.folder_of(models_dir, name) / "manifest.json"
        if path.exists():
            files[f"models/{name}.json"] = _attempt(lambda path=path: json.dumps(  # type: ignore[misc]
                json.loads(path.read_bytes()), indent=1).encode())  # fmt: skip
    return files
