"""Which files a backup contains, and where they belong on a device.

Rules of this file:
- Links are never followed: the state folder belongs to the service, which may have been taken over.
- What describes this board, or can be made again, is left out: measurements, compiled networks, locks.
- Pictures stay on the device.
- A folder that cannot be read is an error: a backup without it would be found wanting years later.
- What asks for something to be done is left out: a restored device would erase itself, or start an update. So is the
  operator's first token, whose text no backup needs: its hash is among the tokens.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from appliance.device import erasure, state
from appliance.flow import calibration_frames
from appliance.models import active
from appliance.models.names import is_plain
from appliance.service import entrance, starts, update_news
from appliance.service.from_settings import state_dir
from appliance.settings.schema import Settings

CONFIG = Path("/etc/appliance")
STATE = Path("/var/lib/appliance")
AGENTS = Path("/var/lib/private/appliance-camera")
MODELS = Path("/opt/appliance/models")
UPDATE = Path("/etc/appliance-update")

SETTINGS_FILE = "appliance.toml"
LEFT_OUT = frozenset(
    {state.LOCK, starts.NAME, erasure.REQUEST, update_news.REQUEST, entrance.FIRST_TOKEN, calibration_frames.FOLDER}
)


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of each part of a backup, by the part's name in it."""

    settings: Path | None
    """The folder with `appliance.toml` and the credentials; None: the defaults apply."""
    state: Path
    models: Path
    agents: Path | None = None
    """State of the camera agents; None: they keep none here."""
    update: Path | None = None
    """Whose releases this device accepts; None: it is not updated that way."""

    def folder(self, part: str) -> Path | None:
        """The folder of a part; None: this device has no such part."""
        folders = {
            "settings": self.settings, "state": self.state, "agents": self.agents, "update": self.update,
            "models": self.models,
        }  # fmt: skip
        return folders.get(part)


def of_device() -> Places:
    """The folders of an installed device."""
    return Places(CONFIG, STATE, MODELS, AGENTS, UPDATE)


def of_checkout(settings: Settings, config: Path | None) -> Places:
    """The folders of a service that its user runs without installation."""
    folder = config.parent if config is not None and config.name == SETTINGS_FILE else None
    return Places(folder, state_dir(settings), Path(settings.model.dir))


def content(places: Places, configured_model: str) -> Iterator[tuple[str, Path]]:
    """The files of a backup: the name in it, and the file. `configured_model`: `model.name` in the settings."""
    if places.settings is not None:
        yield from _below("settings", places.settings)
    yield from _below("state", places.state)
    for part, folder in (("agents", places.agents), ("update", places.update)):
        if folder is not None:
            yield from _below(part, folder)
    choice = places.models / active.FILE
    if choice.is_file():
        yield f"models/{active.FILE}", choice
    model = active.read(places.models, configured_model).name
    if is_plain(model):
        yield from _below("models", places.models, places.models / model)


def target(places: Places, name: str) -> Path | None:
    """Where a file of a backup belongs; None: nowhere on this device. Raises ValueError for an invalid name."""
    path = PurePosixPath(name)
    if path.is_absolute() or len(path.parts) < 2 or ".." in path.parts or "\0" in name or str(path) != name:
        raise ValueError(f"invalid file name {name[:100]!r}")
    folder = places.folder(path.parts[0])
    return folder.joinpath(*path.parts[1:]) if folder is not None else None


def _below(part: str, folder: Path, start: Path | None = None) -> Iterator[tuple[str, Path]]:
    for where, folders, names in os.walk(start or folder, onerror=_refuse):
        kept = (one for one in folders if one not in LEFT_OUT and not one.startswith("."))
        folders[:] = sorted(one for one in kept if not Path(where, one).is_symlink())
        for name in sorted(names):
            path = Path(where, name)
            if name in LEFT_OUT or name.startswith(".") or not stat.S_ISREG(path.lstat().st_mode):
                continue
            yield f"{part}/{path.relative_to(folder)}", path


def _refuse(error: OSError) -> None:
    """os.walk() leaves out what it cannot read. What is missing altogether has nothing to keep."""
    if not isinstance(error, FileNotFoundError):
        raise error
