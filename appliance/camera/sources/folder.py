"""The picture files of a folder, in the order of their names, again and again."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from appliance.camera.sources.jpeg import fit
from appliance.camera.sources.source import Shot
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class FolderSource:
    """A folder or one file. Raises SourceError source_empty when the folder holds no pictures."""

    def __init__(self, path: Path, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        paths = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not paths:
            raise SourceError(f"{path}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})", "source_empty")
        self._paths = itertools.cycle(paths)

    def take(self, limits: CameraLimits) -> Shot:
        path = next(self._paths)
        try:
            return Shot(fit(path.read_bytes(), limits), self._clock())
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}", "source_unreadable") from None

    def close(self) -> None: ...
