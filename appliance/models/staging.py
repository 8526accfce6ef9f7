"""A model from outside, copied to where nobody else can change it: plain files in one folder, before any is read.

Rules of this file:
- Whoever made the source may be an enemy, and may change it meanwhile: what is checked is the copy.
- A link is refused, not followed: root imports, and everybody may read what comes of it.
- Everything is bounded: bytes, files, and what one header of an archive may claim.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from appliance.errors import ModelError
from appliance.files import open_plain
from appliance.models import declared, metadata
from appliance.models.bundle import MANIFEST, MOST_BYTES
from appliance.models.manifest import MOST_FILES
from appliance.models.names import is_plain, shown

_PIECE = 1 << 20
_MOST_HEADER = 1 << 20
"""Bytes that a header in a .tar may have; a long file name takes 1 kB."""
_MOST_MEMBERS = 1000
"""Of an archive, folders and what is left out counted."""
_UNPACK: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_S_IFMT = 0o170000


def stage(source: Path, target: Path, *, is_declared: bool) -> None:
    """Copy the files of a model into the folder `target`: from a folder, a .zip or .tar.* of one, or a network file
    with its weights. `is_declared`: how it is read is said elsewhere.

    Raises ModelError: model_corrupt, model_unsupported; and OSError.
    """
    copying = _Copying(source, target)
    if source.is_dir():
        _stage_folder(source, copying, is_declared=is_declared)
    elif source.suffix in declared.NETWORKS:
        _stage_network(source, copying)
    elif holds_pytorch(source):
        raise pytorch(source)
    else:
        _stage_archive(source, copying)
    _check_holds_a_model({path.name for path in target.iterdir()}, source, is_declared=is_declared)


class _Copying:
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


def _stage_folder(source: Path, copying: _Copying, *, is_declared: bool) -> None:
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = _visible(folder)
        if len(inside) == 1 and stat.S_ISDIR(_mode(folder, inside[0])):  # archives are made with and without it
            inner = os.open(inside[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder, source = inner, source / inside[0]
            inside = _visible(folder)
        names = [name for name in inside if not stat.S_ISDIR(_mode(folder, name))]
        _check_holds_a_model(set(names), source, is_declared=is_declared)
        for name in names:
            _check_file(folder, name, source)
            with open_plain(name, dir_fd=folder, links=False) as content:
                copying.put(content, name, os.fstat(content.fileno()).st_size)
    finally:
        os.close(folder)


def _visible(folder: int) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith((".", "__")))


def _mode(folder: int, name: str) -> int:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode


def _check_file(folder: int, name: str, source: Path) -> None:
    mode = _mode(folder, name)
    if stat.S_ISLNK(mode):
        raise ModelError(
            f"{source / name} is a link, and links are not followed; copy the folder with `cp -rL` and import the copy",
            "model_corrupt",
        )
    if not stat.S_ISREG(mode):
        raise ModelError(f"{source / name} is a pipe or a device, not a file", "model_corrupt")


def _stage_network(source: Path, copying: _Copying) -> None:
    """The file, and the weights that lie beside it under its name."""
    names = [source.name]
    if source.suffix == ".xml":
        names.append(source.with_suffix(".bin").name)
    names += [source.name + ending for ending in (".data", "_data")]
    for name in names:
        path = source.parent / name
        if path != source and not path.exists():
            continue
        with open_plain(path, links=path == source) as content:  # a link that was named is meant
            copying.put(content, name, os.fstat(content.fileno()).st_size)


def _stage_archive(source: Path, copying: _Copying) -> None:
    try:
        with open_plain(source) as file:
            if zipfile.is_zipfile(file):
                _unzip(file, source, copying)
            else:
                file.seek(0)
                _untar(file, source, copying)
    except (ModelError, OSError):
        raise
    except Exception as error:  # zlib, lzma, zipfile and tarfile: each has its own, and none has them all
        raise ModelError(f"{source} is damaged: {shown(str(error))}", "model_corrupt") from error


def _unzip(file: BinaryIO, source: Path, copying: _Copying) -> None:
    with zipfile.ZipFile(file) as packed:
        members = packed.infolist()
        _check_count(len(members), source)
        for member in members:
            kind = (member.external_attr >> 16) & _S_IFMT
            if member.is_dir() or stat.S_ISDIR(kind):
                continue
            if kind and not stat.S_ISREG(kind):
                raise _not_a_file(source, member.filename)
            if (name := copying.name_of(member.filename)) is not None:
                with packed.open(member) as content:
                    copying.put(content, name, member.file_size)


def _untar(file: BinaryIO, source: Path, copying: _Copying) -> None:
    with _unpacked(file, source) as unpacked:
        try:
            packed = tarfile.open(fileobj=unpacked, mode="r:")  # noqa: SIM115  # what it reads is closed
        except tarfile.ReadError:
            raise ModelError(
                f"{source} is not a model: a folder, a .zip or .tar archive of one, or a network file "
                f"({', '.join(declared.NETWORKS)}) is expected",
                "model_unsupported",
            ) from None
        for number, entry in enumerate(packed, 1):
            _check_count(number, source)
            if entry.isdir():
                continue
            content = packed.extractfile(entry) if entry.isreg() and not entry.issparse() else None
            if content is None:
                raise _not_a_file(source, entry.name)
            if (name := copying.name_of(entry.name)) is not None:
                copying.put(content, name, entry.size)


def _check_count(members: int, source: Path) -> None:
    if members > _MOST_MEMBERS:
        raise ModelError(f"{source} holds more than {_MOST_MEMBERS} entries, and is not one model", "model_corrupt")


def _not_a_file(source: Path, name: str) -> ModelError:
    return ModelError(f"{source} holds a link or a device: {shown(name[:200])}", "model_corrupt")


@contextmanager
def _unpacked(file: BinaryIO, source: Path) -> Iterator[IO[bytes]]:
    start = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in _UNPACK.items() if start.startswith(magic)), None)
    if opener is None:
        yield _Sparing(file, source)  # type: ignore[misc]  # as much of a file as tarfile asks for
        return
    with opener(file) as unpacked:
        yield _Sparing(unpacked, source)  # type: ignore[misc]


class _Sparing:
    """A file that is read in small pieces only, up to an end: a header of a .tar may claim any length, and is read at
    once.
    """

    def __init__(self, file: IO[bytes], source: Path) -> None:
        self._file, self._source = file, source

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _MOST_HEADER:
            raise ModelError(f"{self._source} is damaged: a header of {count} bytes", "model_corrupt")
        return self._file.read(count)

    def seek(self, place: int, whence: int = 0) -> int:
        if whence != 0 or place > MOST_BYTES + _MOST_MEMBERS * _MOST_HEADER:
            raise ModelError(f"{self._source} holds more than {MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


def _check_holds_a_model(names: set[str], source: Path, *, is_declared: bool) -> None:
    """Say early what is missing, before gigabytes are copied out of the wrong folder."""
    weights = sorted(name for name in names if name.endswith((".pt", ".pth")))
    known = {MANIFEST, metadata.FILE, declared.FILE} & names
    if known or is_declared or (any(name.endswith(declared.NETWORKS) for name in names) and source.is_file()):
        return
    if weights:
        raise pytorch(source / weights[0])
    raise ModelError(
        f"{source} has neither {MANIFEST} nor Ultralytics' {metadata.FILE} nor {declared.FILE}; import a folder that "
        "`yolo export format=openvino` wrote, or a network file with --head",
        "model_corrupt",
    )


def pytorch(weights: Path) -> ModelError:
    """What to do with weights that have to be exported first."""
    return ModelError(
        f"{weights.name} contains PyTorch weights. Convert it with: appliance model export {weights}",
        "model_unsupported",
    )


def holds_pytorch(source: Path) -> bool:
    """Whether a file is what `torch.save` writes: by its name, or by what is in it."""
    if source.suffix in (".pt", ".pth"):
        return True
    try:
        with open_plain(source) as file, zipfile.ZipFile(file) as packed:
            return any(name.endswith("/data.pkl") for name in packed.namelist()[:_MOST_MEMBERS])
    except Exception:  # noqa: BLE001  # whatever it is then, it is not that
        return False
