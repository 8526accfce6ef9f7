"""`appliance erase`: erase what the service has stored, for the installed service or for one in a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from appliance.camera.saved_pictures import saved_in
from appliance.commands import installed
from appliance.device import state
from appliance.errors import ApplianceError
from appliance.service.from_settings import state_dir
from appliance.settings.schema import Settings

PROGRAM = installed.PROGRAMS / "erase.py"


class CannotErase(ApplianceError):
    """The data cannot be erased now: erase_unavailable."""

    code = "erase_unavailable"


def erase_device(*, factory_reset: bool) -> int:
    """Stop the installed service, erase its data, start it again; returns the exit code. Raises CannotErase."""
    if os.geteuid() != 0:
        raise CannotErase("erasing the installed service needs root: use sudo")
    return subprocess.run([str(PROGRAM), *(["--factory-reset"] if factory_reset else [])]).returncode


def erase_own(settings: Settings) -> Iterator[str]:
    """Erase the data of a service that this user runs without installation; yield what was erased.

    Raises CannotErase while the service runs.
    """
    folder = state_dir(settings)
    with state.open_folder(folder) as opened:
        if opened.path is None:
            raise CannotErase(f"{opened.problem}. Stop the service first")
        done = _erase([path for path in sorted(folder.iterdir()) if path.name != state.LOCK])
        yield f"{folder}: {done} erased"
    compiled = Path(settings.model.dir) / ".compiled"
    if compiled.is_dir():
        yield f"{compiled}: {_erase(sorted(compiled.iterdir()))} erased"
    pictures = Path(settings.camera.save_dir)
    if settings.camera.save_dir and pictures.is_dir():
        yield f"{pictures}: {_erase(saved_in(pictures))} erased"


def _erase(paths: list[Path]) -> int:
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                for inner in path.rglob("*"):
                    _overwrite(inner)
                shutil.rmtree(path)
            else:
                _overwrite(path)
                path.unlink()
        except OSError as error:
            raise CannotErase(f"cannot erase {path}: {error.strerror}") from None
    return len(paths)


def _overwrite(path: Path) -> None:
    if path.is_file() and not path.is_symlink():
        with path.open("r+b") as file:
            file.write(b"\0" * path.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
