"""Put the files of a backup in their places.

Rules of this file:
- Everything is checked before the first file is written: names, and the settings with this version of the program.
- State and the chosen model are replaced, not mixed with what is there. Of the settings each file of the backup is
  replaced; others stay.
- Each file belongs to the owner of the folder that it comes into, as the installer has set it.
- A power cut in between leaves a part of the files; restoring again completes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance import files
from appliance.commands.backup.places import LEFT_OUT, SETTINGS_FILE, Places, target
from appliance.commands.backup.sealed import BackupError, Opened
from appliance.device import state
from appliance.errors import ConfigError
from appliance.health.words import counted

_PRIVATE = 0o700


def check(opened: Opened, places: Places, check_settings: Callable[[Path], object]) -> None:
    """Whether everything in the backup can be restored here.

    `check_settings`: raises ConfigError for a settings file that this version refuses. Raises BackupError.
    """
    try:
        for name in opened.contents:
            target(places, name)
    except ValueError as error:
        raise BackupError(str(error)) from None
    settings = opened.contents.get(f"settings/{SETTINGS_FILE}")
    if settings is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, SETTINGS_FILE)
        file.write_bytes(settings)
        try:
            check_settings(file)
        except ConfigError as error:
            text = str(error).replace(f"{folder}/", "")
            raise BackupError(f"the settings in the backup are not valid for this version: {text}") from None


@contextlib.contextmanager
def stopped_service(places: Places, *, installed: bool) -> Iterator[None]:
    """Keep the service stopped: the installed one by systemd; another one must not run.

    Raises BackupError restore_unavailable while another service uses the state folder.
    """
    units = ["appliance.target", "appliance-camera@*"] if installed and Path("/run/systemd/system").is_dir() else []
    if units:
        subprocess.run(["systemctl", "stop", *units], check=False)
    try:
        with state.open_folder(places.state) as folder:
            if folder.path is None:
                raise BackupError(f"{folder.problem}. Stop the service first", "restore_unavailable")
            yield
    finally:
        if units:
            subprocess.run(["systemctl", "start", "appliance.target"], check=False)


def put(opened: Opened, places: Places) -> Iterator[str]:
    """Write the files; yield what was restored. The service must not run. Raises BackupError."""
    for part in ("settings", "state", "agents", "update", "models"):
        # An older version did not leave all of these out.
        names = [
            name for name in opened.contents if name.startswith(f"{part}/") and LEFT_OUT.isdisjoint(name.split("/"))
        ]
        folder = places.folder(part)
        if not names or folder is None:
            continue
        try:
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            if part in ("state", "agents"):
                _empty(folder)
            for name in names:
                _put(folder, Path(name).relative_to(part), opened.contents[name], opened.about.files[name].mode)
        except OSError as error:
            raise BackupError(f"cannot restore {error.filename or folder}: {error.strerror}") from None
        yield f"{folder}: {counted(len(names), 'file', 'files')}"


def _put(folder: Path, below: Path, data: bytes, mode: int) -> None:
    owner = folder.stat()
    place = folder
    for part in below.parts[:-1]:
        place = place / part
        if place.is_symlink():
            raise NotADirectoryError(20, "is a link", str(place))
        if not place.exists():
            place.mkdir(mode=_PRIVATE if mode & 0o077 == 0 else 0o755)
            _give(place, owner)
    path = place / below.name
    files.write(path, data, mode & 0o755)
    _give(path, owner)


def _give(path: Path, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _empty(folder: Path) -> None:
    """Remove the content; links are removed, never followed."""
    for path in folder.iterdir():
        if path.name == state.LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
