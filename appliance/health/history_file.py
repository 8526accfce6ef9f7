"""The history on disk: one file of fixed size, updated in place once a minute.

Rules of this file:
- A minute is six rows: 288 bytes written in place and one fdatasync. That is 415 kB a day, which ext4 turns into 7.6 MB
  of writes to the card (counted at the block device). A power cut loses at most one minute.
- Rows torn by a power cut fail their checksum and become gaps. A file with more damage than that is renamed.
- Rows that cannot be written stay unsaved and are retried a minute later; the service is not affected.
- A minute writes at most `MOST_ROWS`, however often the clock is set.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import files
from appliance.device import state
from appliance.device.state import StateFolder
from appliance.health.history import ROW, SLOTS, STEP_S, Rows, SlotIndices, seal

log = logging.getLogger(__name__)

NAME = "history"
MOST_ROWS = 600
_PAGE_BYTES = 4096
_MOST_TORN = MOST_ROWS + 2 * _PAGE_BYTES // ROW.itemsize
HEADER = f"appliance history 1: {SLOTS} rows of {ROW.itemsize} bytes, {STEP_S} s each\n".encode().ljust(64)
_BYTES = len(HEADER) + SLOTS * ROW.itemsize


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """The rows of an earlier run, and the file for new ones. Without a path, the history is in memory only."""

    rows: Rows
    path: Path | None = None
    problem: str | None = None
    """Why the history is not saved."""
    taken: bool = False
    """Another service uses the folder."""
    set_aside: str | None = None
    """The new name of a damaged file."""


def load(folder: StateFolder | None) -> LoadedHistory:
    """Load the history from a folder; None: keep it in memory only. Renames a damaged file and logs that."""
    empty = np.zeros(SLOTS, ROW)
    if folder is None or folder.path is None:
        return LoadedHistory(
            empty, problem=folder.problem if folder else None, taken=folder is not None and folder.taken
        )
    path = folder.path / NAME
    try:
        rows = read(files.read_plain(path, _BYTES)) if path.lstat().st_size == _BYTES else None
        if rows is not None:
            return LoadedHistory(rows, path)
        name = state.set_aside(path).name
    except FileNotFoundError:
        return LoadedHistory(empty, path)
    except OSError as error:
        log.warning("cannot read %s (%s); starting an empty history", path, error.strerror)
        return LoadedHistory(empty, path, f"{path}: {error.strerror}")
    log.warning("%s is damaged; renamed it to %s and started an empty history", path, name)
    return LoadedHistory(empty, path, set_aside=name)


def read(data: bytes) -> Rows | None:
    """Parse a file's content, with torn rows emptied. None if it has more damage than a power cut causes."""
    if not data.startswith(HEADER):
        return None
    rows = np.frombuffer(data, ROW, offset=len(HEADER)).copy()
    torn = np.array([seal(row) for row in rows], "<u4") != rows["crc"]
    if len(rows) != SLOTS or np.count_nonzero(torn) > _MOST_TORN:
        return None
    rows[torn] = np.zeros(1, ROW)
    return rows


def create(path: Path) -> None:
    """Create a file without rows, atomically. Raises OSError."""
    files.write(path, HEADER + bytes(SLOTS * ROW.itemsize))


def save(path: Path, slots: SlotIndices, rows: Rows) -> None:
    """Write rows to their slots and sync them to disk. Raises OSError."""
    if not path.exists():
        create(path)
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        runs = np.flatnonzero(np.diff(slots) != 1) + 1
        for places, part in zip(np.split(slots, runs), np.split(rows, runs), strict=True):
            data = part.tobytes()
            written = os.pwrite(file, data, len(HEADER) + int(places[0]) * ROW.itemsize)
            if written != len(data):
                raise OSError(28, "the disk is full")
        os.fdatasync(file)
    finally:
        os.close(file)
