"""Save pictures with detections in a folder of limited size; the oldest are deleted first.

The number of a picture decides its age, not its time: a board without a battery-backed clock boots in the past. Writes
are atomic. Files with other names are never touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ConfigError
from appliance.ports import Clock

_NAME = re.compile(r"(\d{8,})_[\w.-]*\.(jpg|png|webp)")
_MAX_NAMES = 4
_MAX_NAMES_BYTES = 160
"""A file name may have 255, and classes may have long names, of three bytes a character in many languages."""


class SavedPictures:
    """A folder of pictures. Raises ConfigError if it cannot be created or read."""

    def __init__(self, folder: Path, *, max_bytes: int, wall: Clock = time.time) -> None:
        self._folder, self._max_bytes, self._wall = folder, max_bytes, wall
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for partial in folder.glob(".*.part"):
                partial.unlink()
            matches = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
            kept = sorted((int(match[1]), path, path.stat().st_size) for match, path in matches)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot save pictures here: {error.strerror}") from None
        self._kept = deque((path, size) for _, path, size in kept)
        self._bytes = sum(size for _, size in self._kept)
        self._number = kept[-1][0] if kept else 0

    def keep(self, picture: bytes, names: Sequence[str]) -> Path | None:
        """Save one picture, named by its detections. None if it alone exceeds the limit. Raises OSError."""
        if len(picture) > self._max_bytes:
            return None
        while self._bytes + len(picture) > self._max_bytes:
            path, size = self._kept.popleft()
            self._bytes -= size
            path.unlink(missing_ok=True)
        self._number += 1
        path = self._folder / self._name(picture, names)
        partial = path.with_name(f".{path.name}.part")
        try:
            partial.write_bytes(picture)
            os.replace(partial, path)
        except OSError:  # the disk is full: what was written would stay, next to what the next attempt leaves
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        self._kept.append((path, len(picture)))
        self._bytes += len(picture)
        return path

    def _name(self, picture: bytes, names: Sequence[str]) -> str:
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._wall()))
        classes = "_".join(re.sub(r"\W+", "-", name) for name in list(dict.fromkeys(names))[:_MAX_NAMES])
        classes = classes.encode()[:_MAX_NAMES_BYTES].decode(errors="ignore")
        suffix = {b"\x89": "png", b"R": "webp"}.get(picture[:1], "jpg")
        return f"{self._number:08d}_{moment}_{classes}.{suffix}"


def saved_in(folder: Path) -> list[Path]:
    """The pictures that the agent has saved in a folder, the oldest first. Raises OSError."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
