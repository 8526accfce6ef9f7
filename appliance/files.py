"""Safe file access: atomic writes that survive a power failure, and reads of regular files only."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO


def write(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a file atomically and durably. `mode`: permissions, regardless of the umask. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    settle(path.parent)  # the new name


def settle(*paths: Path) -> None:
    """Wait until file contents, or the names in a folder, are on the disk. Raises OSError."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def open_plain(path: Path | str, *, dir_fd: int | None = None, links: bool = True) -> BinaryIO:
    """Open a regular file for reading. Raises OSError with its name; also for a folder, pipe or device.

    `links`: follow a symbolic link.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW), dir_fd=dir_fd)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file of any size, in hexadecimal. Raises OSError."""
    hasher = hashlib.sha256()
    with open_plain(path) as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Read a regular file. Raises OSError, also if it is larger than `most_bytes`."""
    with open_plain(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes / 1e6:g} MB", str(path))
    return data
