"""Pictures with something in them, kept in a folder that never grows beyond its bound: the oldest go first.

A picture's age is its number, not its time: a board without a clock boots in the past, and its newest pictures would be
taken for the oldest. A file appears whole or not at all. Files of other names are never touched.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ConfigError
from appliance.ports import Clock

_OURS = re.compile(r"(\d{8,})_[\w.-]*\.(jpg|png|webp)")
_MOST_NAMES = 4


class SavedPictures:
    """The folder. Raises ConfigError when it cannot be made or read."""

    def __init__(self, folder: Path, *, max_bytes: int, wall: Clock = time.time) -> None:
        self._folder, self._max_bytes, self._wall = folder, max_bytes, wall
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for half in folder.glob(".*.part"):
                half.unlink()
            known = [(found, path) for path in folder.iterdir() if (found := _OURS.fullmatch(path.name))]
            kept = sorted((int(found[1]), path, path.stat().st_size) for found, path in known)
        except OSError as error:
            raise ConfigError(f"{folder}: pictures cannot be kept there: {error.strerror}") from None
        self._kept = deque((path, size) for _, path, size in kept)
        self._bytes = sum(size for _, size in self._kept)
        self._number = kept[-1][0] if kept else 0

    def keep(self, picture: bytes, names: Sequence[str]) -> Path | None:
        """Write one picture, named by what is in it; None if it alone is larger than the bound. Raises OSError."""
        if len(picture) > self._max_bytes:
            return None
        while self._bytes + len(picture) > self._max_bytes:
            path, size = self._kept.popleft()
            self._bytes -= size
            path.unlink(missing_ok=True)
        self._number += 1
        path = self._folder / self._name(picture, names)
        half = path.with_name(f".{path.name}.part")
        half.write_bytes(picture)
        os.replace(half, path)
        self._kept.append((path, len(picture)))
        self._bytes += len(picture)
        return path

    def _name(self, picture: bytes, names: Sequence[str]) -> str:
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._wall()))
        seen = "_".join(re.sub(r"\W+", "-", name) for name in list(dict.fromkeys(names))[:_MOST_NAMES])
        suffix = {b"\x89": "png", b"R": "webp"}.get(picture[:1], "jpg")
        return f"{self._number:08d}_{moment}_{seen}.{suffix}"
