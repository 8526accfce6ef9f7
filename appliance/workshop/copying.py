"""Copy the files of one untrusted model into a folder, within bounds."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import IO

from appliance.errors import ModelError
from appliance.models.bundle import MOST_BYTES
from appliance.models.manifest import MOST_FILES
from appliance.models.names import is_plain, shown

_PIECE = 1 << 20


class BoundedCopy:
    """Copies files into the folder `target` as long as they can be those of one model."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._bytes, self._files = MOST_BYTES, MOST_FILES
        self._folder: str | None = None

    def put(self, content: IO[bytes], name: str, size: int = 0) -> None:
        """Copy one file. `size`: the size that its header claims, bytes; the real size is checked as well."""
        self._files -= 1
        if self._files < 0:
            raise ModelError(
                f"{self._source} contains more than {MOST_FILES} files; expected the files of one model",
                "model_corrupt",
            )
        if not is_plain(name):
            raise ModelError(f"invalid file name {name[:100]!r}. Rename the file", "model_corrupt")
        self._check_size(size)
        with (self._target / name).open("xb") as file:
            while piece := content.read(_PIECE):
                self._check_size(len(piece))
                self._bytes -= len(piece)
                file.write(piece)

    def name_of(self, member: str) -> str | None:
        """The name of a file in an archive; None: ignore it, such as the files that macOS adds."""
        parts = [part for part in PurePosixPath(member).parts if part != "."]
        if member.startswith("/") or not 1 <= len(parts) <= 2 or ".." in parts or "\\" in member:
            raise ModelError(
                f"unexpected path '{shown(member[:200])}' in the archive. Pack only the model's folder and its files",
                "model_corrupt",
            )
        if any(part.startswith((".", "__")) for part in parts):
            return None
        folder = "/".join(parts[:-1])
        if self._folder not in (None, folder):
            raise ModelError(
                f"{self._source} contains files in several folders; expected the files of one model", "model_corrupt"
            )
        self._folder = folder
        return parts[-1]

    def _check_size(self, size: int) -> None:
        if size > self._bytes:
            raise ModelError(f"{self._source} is larger than {MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
