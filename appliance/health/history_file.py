"""The history on disk: one file of fixed size, of which once a minute the new rows are written.

Rules of this file:
- A minute is six rows, 288 bytes in place and one fdatasync: 415 kB a day, of which ext4 makes 7.6 MB for the card
  (counted at the block device). A power cut costs a minute at most.
- Rows that a power cut has torn fail their checksum and are gaps. A file that is damaged more than that is set aside.
- What cannot be written stays unsaved and is tried again with the next minute; the service is not disturbed.
- However often the clock is set, a minute writes `MOST_ROWS` at most.
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
from appliance.health.history import ROW, SLOTS, STEP_S, Rows, Slots, seal

log = logging.getLogger(__name__)

NAME = "history"
MOST_ROWS = 600
_PAGE_BYTES = 4096
_MOST_TORN = MOST_ROWS + 2 * _PAGE_BYTES // ROW.itemsize
HEADER = f"appliance history 1: {SLOTS} rows of {ROW.itemsize} bytes, {STEP_S} s each\n".encode().ljust(64)
_BYTES = len(HEADER) + SLOTS * ROW.itemsize


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an earlier run has left, and where the next rows go; without a path they are kept in memory only."""

    rows: Rows
    path: Path | None = None
    problem: str | None = None
    """Why nothing is kept."""
    taken: bool = False
    """Because another service keeps its history there."""
    set_aside: str | None = None
    """The new name of a file that could not be used."""


def load(folder: StateFolder | None) -> Loaded:
    """The history in this folder; None keeps none. What is no history is renamed, and told in the log."""
    empty = np.zeros(SLOTS, ROW)
    if folder is None or folder.path is None:
        return Loaded(empty, problem=folder.problem if folder else None, taken=folder is not None and folder.taken)
    path = folder.path / NAME
    try:
        rows = read(files.read_plain(path, _BYTES)) if path.lstat().st_size == _BYTES else None
        if rows is not None:
            return Loaded(rows, path)
        name = state.set_aside(path).name
    except FileNotFoundError:
        return Loaded(empty, path)
    except OSError as error:
        log.warning("%s cannot be read (%s); the history begins anew", path, error.strerror)
        return Loaded(empty, path, f"{path}: {error.strerror}")
    log.warning("%s is damaged or not ours; it is %s now, and the history begins anew", path, name)
    return Loaded(empty, path, set_aside=name)


def read(data: bytes) -> Rows | None:
    """The rows of a file's content, torn ones empty; None if it is damaged beyond what a power cut does."""
    if not data.startswith(HEADER):
        return None
    rows = np.frombuffer(data, ROW, offset=len(HEADER)).copy()
    torn = np.array([seal(row) for row in rows], "<u4") != rows["crc"]
    if len(rows) != SLOTS or np.count_nonzero(torn) > _MOST_TORN:
        return None
    rows[torn] = np.zeros(1, ROW)
    return rows


def create(path: Path) -> None:
    """A file without any rows, whole or not at all. Raises OSError."""
    files.write(path, HEADER + bytes(SLOTS * ROW.itemsize))


def save(path: Path, slots: Slots, rows: Rows) -> None:
    """Write rows to their places, and wait until the disk has them. Raises OSError."""
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
