"""The picture files of a folder, in the order of their names, in a loop.

Rules of this file:
- The folder is listed again for each picture, so that files can be added and removed at any time.
- An unreadable file is skipped and logged. A folder without pictures is an error only when the source is opened. Later
  it can be empty or unmounted for a while. What stays wrong is logged every ten minutes.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from pathlib import Path

from appliance.camera.repeated_lines import RepeatedLines
from appliance.camera.sources.jpeg import fit
from appliance.camera.sources.source import PATIENCE_S, Capture
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits
from appliance.vision import picture_files

log = logging.getLogger(__name__)

_READ_AGAIN_S = 0.25
_MAX_BYTES = 100_000_000


class FolderSource:
    """A folder or one file. Raises SourceError: source_empty if the folder has no pictures, source_unreadable."""

    def __init__(self, path: Path, clock: Clock = time.monotonic, *, patience_s: float = PATIENCE_S) -> None:
        self._path, self._clock, self._patience_s = path, clock, patience_s
        self._is_folder = path.is_dir()
        self._last = ""
        self._lines = RepeatedLines(clock)
        self._closed = threading.Event()
        try:
            names = self._names()
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}", "source_unreadable") from None
        if not names:
            raise SourceError(
                f"{path}: no pictures in this folder ({', '.join(sorted(picture_files.SUFFIXES))})", "source_empty"
            )

    def take(self, limits: CameraLimits) -> Capture | None:
        until_s = time.monotonic() + self._patience_s
        while not self._closed.is_set():
            data = self._next()
            if data is not None:
                return Capture(fit(data, limits), self._clock())
            if time.monotonic() >= until_s:
                return None
            self._closed.wait(_READ_AGAIN_S)
        return None

    def close(self) -> None:
        self._closed.set()

    def _next(self) -> bytes | None:
        """The next picture in order; None if no file is readable now."""
        try:
            names = self._names()
        except OSError as error:
            self._warn(f"{self._path}: {error.strerror}; waiting for the folder")
            return None
        if not names:
            self._warn(f"{self._path}: no pictures in this folder; waiting")
        after = [name for name in names if name > self._last]
        for name in [*after, *names[: len(names) - len(after)]]:
            self._last = name
            try:
                return _read(self._path / name if self._is_folder else self._path)
            except OSError as error:
                reason = error.strerror or str(error)
                self._warn(f"{name}: {reason}; skipped")
        return None

    def _warn(self, line: str) -> None:
        if self._lines.due(line):
            log.warning("%s", line, extra={"kind": "source"})

    def _names(self) -> list[str]:
        if not self._is_folder:
            return [self._path.name]
        return sorted(name for name in os.listdir(self._path) if picture_files.is_named_as_picture(Path(name)))


def _read(path: Path) -> bytes:
    """Read a regular file without blocking on a pipe or device. Raises OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= _MAX_BYTES:
            raise OSError(f"not a picture file of 1 to {_MAX_BYTES} bytes")
        return file.read(_MAX_BYTES)
