"""Files that a power cut leaves whole: as they were, or as they should be."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put these bytes there, whole or not at all. `mode`: its permissions, whatever the umask. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    settle(path.parent)  # the name itself


def settle(*paths: Path) -> None:
    """Wait until the disk has what was written: a file's content, or the names in a folder. Raises OSError."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
