"""Count the starts of the service since the machine was switched on: a service that keeps restarting must show it."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance import files
from appliance.device.state import StateFolder

log = logging.getLogger(__name__)

NAME = "starts.json"
_MOST_BYTES = 10_000
_BOOT_ID = Path("proc/sys/kernel/random/boot_id")


class SavedStarts(Struct, frozen=True):
    """The content of the file. `boot_id`: the kernel's id of the boot that `starts` counts in."""

    boot_id: str
    starts: int


def count(folder: StateFolder | None, root: Path = Path("/")) -> int | None:
    """Count this start; return the restarts since the machine was switched on. None: unknown, there is no folder."""
    if folder is None or folder.path is None:
        return None
    path = folder.path / NAME
    try:
        boot_id = (root / _BOOT_ID).read_text("ascii").strip()
        former = _read(path)
        starts = former.starts + 1 if former is not None and former.boot_id == boot_id else 1
        files.write(path, msgspec.json.encode(SavedStarts(boot_id, starts)))
    except (OSError, ValueError) as error:
        log.warning("cannot count this start of the service: %s", error)
        return None
    return starts - 1


def _read(path: Path) -> SavedStarts | None:
    """None: there is no such file, or it is damaged."""
    try:
        return msgspec.json.decode(files.read_plain(path, _MOST_BYTES), type=SavedStarts)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
