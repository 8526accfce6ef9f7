"""The files of one model, copied into a folder within bounds, whatever their source says of itself."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import IO

from appliance.errors import ModelError
from appliance.models.bundle import MOST_BYTES
from appliance.models.manifest import MOST_FILES
from appliance.models.names import is_plain, shown

_PIECE = 1 << 20


class Copying:
    """Puts files into the folder `target`, as long as they are those of one model."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._bytes, self._files = MOST_BYTES, MOST_FILES
        self._folder: str | None = None

    def put(self, content: IO[bytes], name: str, size: int = 0) -> None:
        """`size`: as it is said to have, bytes; what it has counts as well."""
        self._files -= 1
        if self._files < 0:
            raise ModelError(
                f"{self._source} holds more than {MOST_FILES} files, and is not one model", "model_corrupt"
            )
        if not is_plain(name):
            raise ModelError(f"a file cannot be called {name[:100]!r} here; rename it", "model_corrupt")
        self._check_size(size)
        with (self._target / name).open("xb") as file:
            while piece := content.read(_PIECE):
                self._check_size(len(piece))
                self._bytes -= len(piece)
                file.write(piece)

    def name_of(self, member: str) -> str | None:
        """Of a file in an archive; None: it is left out, as what a Mac adds."""
        parts = [part for part in PurePosixPath(member).parts if part != "."]
        if member.startswith("/") or not 1 <= len(parts) <= 2 or ".." in parts or "\\" in member:
            raise ModelError(
                f"'{shown(member[:200])}' is not a file of a model; pack the folder with its files, and nothing else",
                "model_corrupt",
            )
        if any(part.startswith((".", "__")) for part in parts):
            return None
        folder = "/".join(parts[:-1])
        if self._folder not in (None, folder):
            raise ModelError(f"{self._source} holds files in several folders, and is not one model", "model_corrupt")
        self._folder = folder
        return parts[-1]

    def _check_size(self, size: int) -> None:
        if size > self._bytes:
            raise ModelError(f"{self._source} holds more than {MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
