"""Extract a .zip or .tar.* archive of a model: plain files in one folder, without trusting any header."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from appliance.errors import ModelError
from appliance.files import open_plain
from appliance.models.bundle import MOST_BYTES
from appliance.models.names import shown
from appliance.workshop import declared
from appliance.workshop.copying import BoundedCopy

MOST_MEMBERS = 1000
"""Upper bound for entries in an archive, including folders and ignored files."""
_MOST_HEADER = 1 << 12
"""Upper bound for a header in a .tar, bytes; a long file name takes 1 kB. Python 3.11.7 took 26 s for 80 kB."""
_MOST_READ = 1 << 20
"""Upper bound for what is read at once, bytes. A .zip of 1000 files has a directory of 100 kB."""
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""zipfile unpacks the others without a bound: 1 kB of bzip2 becomes 3 GB in memory."""
_MOST_DICTIONARY = 128 << 20
"""Memory limit for unpacking an .xz, bytes: `xz -9` needs 65 MB, but a header may claim 4 GB."""
_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
"""Headers in a .tar whose content describes the next entry."""
_S_IFMT = 0o170000
_PIECE = 1 << 16


def extract(source: Path, copying: BoundedCopy) -> None:
    """Copy the files of an archive. Raises ModelError: model_corrupt, model_unsupported; and OSError."""
    try:
        with open_plain(source) as file:
            if zipfile.is_zipfile(file):
                _unzip(file, source, copying)
            else:
                file.seek(0)
                _untar(file, source, copying)
    except (ModelError, OSError):
        raise
    except Exception as error:  # zlib, lzma, zipfile and tarfile share no error type
        raise ModelError(f"{source} is damaged: {shown(str(error))}", "model_corrupt") from error


def opened_zip(file: BinaryIO, source: Path) -> zipfile.ZipFile:
    """Read the directory of a .zip. Raises ModelError, OSError and zipfile.BadZipFile."""
    return zipfile.ZipFile(_BoundedReader(file, source))


def _unzip(file: BinaryIO, source: Path, copying: BoundedCopy) -> None:
    with opened_zip(file, source) as packed:
        members = packed.infolist()
        _check_count(len(members), source)
        for member in members:
            kind = (member.external_attr >> 16) & _S_IFMT
            if member.is_dir() or stat.S_ISDIR(kind):
                continue
            if kind and not stat.S_ISREG(kind):
                raise _not_a_file(source, member.filename)
            if (name := copying.name_of(member.filename)) is not None:
                if member.compress_type not in _COMPRESSIONS:
                    raise ModelError(
                        f"{source} is compressed with an unsupported method. Pack the folder with `zip -r`",
                        "model_unsupported",
                    )
                with packed.open(member) as content:
                    copying.put(content, name, member.file_size)


def _untar(file: BinaryIO, source: Path, copying: BoundedCopy) -> None:
    with _unpacked(file, source) as unpacked:
        try:
            packed = tarfile.open(fileobj=unpacked, mode="r:", tarinfo=_bounded_entries(source))  # noqa: SIM115  # the file that it reads is closed
        except tarfile.ReadError:
            raise ModelError(
                f"{source} is not a model; expected a folder, a .zip or .tar archive of one, or a network file "
                f"({', '.join(declared.NETWORKS)})",
                "model_unsupported",
            ) from None
        for entry in packed:
            if entry.isdir():
                continue
            content = packed.extractfile(entry) if entry.isreg() and not entry.issparse() else None
            if content is None:
                raise _not_a_file(source, entry.name)
            if (name := copying.name_of(entry.name)) is not None:
                copying.put(content, name, entry.size)


def _bounded_entries(source: Path) -> type[tarfile.TarInfo]:
    """The class of the entries of one .tar, which counts and checks every header before tarfile reads its content."""
    numbers = itertools.count(1)

    class Entry(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
            entry = super().frombuf(buf, encoding, errors)
            _check_count(next(numbers), source)
            if entry.size < 0 or (entry.type in _EXTENDED and entry.size > _MOST_HEADER):
                raise _damaged(source, entry.size)
            return entry

    return Entry


def _check_count(members: int, source: Path) -> None:
    if members > MOST_MEMBERS:
        raise ModelError(
            f"{source} contains more than {MOST_MEMBERS} entries; expected the files of one model", "model_corrupt"
        )


def _damaged(source: Path, count: int) -> ModelError:
    return ModelError(f"{source} is damaged: a header claims {count} bytes", "model_corrupt")


def _not_a_file(source: Path, name: str) -> ModelError:
    return ModelError(f"{source} contains a link or a device: {shown(name[:200])}", "model_corrupt")


@contextmanager
def _unpacked(file: BinaryIO, source: Path) -> Iterator[IO[bytes]]:
    start = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in _UNPACK.items() if start.startswith(magic)), None)
    if opener is None:
        yield _BoundedReader(file, source)  # type: ignore[misc]  # the methods that tarfile uses
        return
    with opener(file) as unpacked:
        yield _BoundedReader(unpacked, source)  # type: ignore[misc]


class _BoundedReader:
    """A file with bounded reads: zipfile reads the directory at once, whatever length its header claims."""

    def __init__(self, file: IO[bytes], source: Path) -> None:
        self._file, self._source = file, source

    def read(self, count: int = -1) -> bytes:
        if count > _MOST_READ:
            raise _damaged(self._source, count)
        return self._file.read(count if count >= 0 else _MOST_READ)

    def seek(self, place: int, whence: int = 0) -> int:
        if place > MOST_BYTES + MOST_MEMBERS * _MOST_READ:
            raise ModelError(f"{self._source} is larger than {MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
        return self._file.seek(place, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()


class _Xz:
    """An .xz file, read sequentially in bounded memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at = file, 0
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_DICTIONARY)

    def __enter__(self) -> _Xz:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, count: int) -> bytes:
        pieces: list[bytes] = []
        while count > 0 and not self._decoder.eof:
            packed = self._file.read(_PIECE) if self._decoder.needs_input else b""
            piece = self._decoder.decompress(packed, count)
            if not piece and not packed and self._decoder.needs_input:
                raise EOFError("unexpected end of file")
            pieces.append(piece)
            count -= len(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def seek(self, place: int, whence: int) -> int:
        if place < self._at or whence != 0:
            raise OSError("an .xz file can only be read sequentially")
        while self._at < place and self.read(min(_PIECE, place - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        return self._at


_UNPACK: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": _Xz,
}
