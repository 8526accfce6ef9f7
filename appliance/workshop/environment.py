"""Separate Python environments for tools that the service must never import, created once in the user's cache.

pip uses the user's own index, proxy and certificate settings; this file names no registry.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import files, programs
from appliance.errors import ModelError
from appliance.ports import ReportLine

_MADE_OF = "made-of.txt"


@dataclass(frozen=True, slots=True)
class Environment:
    """The content of an environment. `code`: of the ModelError if it cannot be created."""

    title: str
    """The name of the tool, for output."""
    steps: tuple[tuple[str, ...], ...]
    """The arguments of each `pip install`, in order."""
    size_mb: int
    """Measured size on the disk."""
    code: str
    only_metadata: tuple[str, ...] = ()
    """Packages (`name==version`) of which only the metadata is installed: a tool asks for the version, not the code."""

    @property
    def requirements(self) -> str:
        """Its complete content; an environment with other content is created again."""
        return "\n".join(word for step in (*self.steps, self.only_metadata) for word in step)

    def folder(self) -> Path:
        """Its folder in the cache, one for each set of versions."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        pinned = [word.replace("==", "-") for step in self.steps for word in step if "==" in word]
        name = "-".join([*pinned, f"python{sys.version_info[0]}.{sys.version_info[1]}"])
        return cache / "edge-detection-appliance" / name


def python_of(environment: Environment, place: Path, report: ReportLine) -> Path:
    """The Python executable of the environment at `place`, which is created if necessary.

    Raises ModelError with the environment's code, naming the failed step and what to do.
    """
    python = place / "bin" / "python"
    if is_ready(environment, place):
        return python
    report(f"installing {environment.title} in {place}: about {environment.size_mb} MB, once")
    _check_disk(environment, place)
    with _alone(place, report):
        if not is_ready(environment, place):  # another command has just created it
            _create(environment, place, python, report)
    return python


def _create(environment: Environment, place: Path, python: Path, report: ReportLine) -> None:
    count = len(environment.steps) + 1
    report(f"  [1/{count}] python -m venv")
    make = [sys.executable, "-m", "venv", "--clear", str(place)]
    _run(environment, make, "Install it with: sudo apt install python3-venv")
    for number, step in enumerate(environment.steps, 2):
        report(f"  [{number}/{count}] pip install {' '.join(step)}")
        pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *step]
        advice = "pip needs internet access, or a package index set with `pip config set global.index-url URL`"
        _run(environment, pip, advice)
    for package in environment.only_metadata:
        _write_metadata(python, *package.split("=="))
    files.write(place / _MADE_OF, environment.requirements.encode())


@contextlib.contextmanager
def _alone(place: Path, report: ReportLine) -> Iterator[None]:
    """Hold the place: a second command would clear what the first one is installing."""
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report("  waiting for another command that installs it")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_ready(environment: Environment, place: Path) -> bool:
    """Whether the environment exists and is complete."""
    try:
        return (place / _MADE_OF).read_bytes() == environment.requirements.encode()
    except OSError:
        return False


def variables() -> dict[str, str]:
    """Environment variables for a program in such an environment: only its own packages, and no telemetry."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept | {
        "PYTHONNOUSERSITE": "1",
        "OPENVINO_TELEMETRY_CONSENT": "0",
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
    }


def _write_metadata(python: Path, name: str, version: str) -> None:
    code = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"
    packages = programs.run_json([str(python), "-c", code], timeout_s=60)["purelib"]
    info = Path(packages) / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


def _check_disk(environment: Environment, place: Path) -> None:
    needed = 3_000_000 * environment.size_mb  # the packages, pip's temporary copies, and the tool's output
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place.parent).free
    except OSError as error:
        raise ModelError(
            f"cannot write to {place.parent} ({error.strerror}). Set XDG_CACHE_HOME to a writable folder",
            environment.code,
        ) from None
    if free < needed:
        raise ModelError(
            f"{place.parent} has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed. Free some space, or "
            "set XDG_CACHE_HOME to a folder on another disk",
            environment.code,
        )


def _run(environment: Environment, command: list[str], advice: str) -> None:
    try:
        programs.run(command, timeout_s=3600, on_terminal=True)
    except programs.ProgramFailed as error:
        raise ModelError(f"`{' '.join(command[1:4])}` failed: {error}. {advice}", environment.code) from None
