"""Compiled networks on disk, each with a checksum. A damaged one is removed and compiled again.

Rules of this file:
- OpenVINO does not verify its cache. A file with a corrupted page still loads, and the network then detects half or
  twice as many objects. Each file therefore has a NAME.sha256 with its digest and its use (network and input size).
- Only files of the use about to be loaded are verified: reading a cache of 100 MB takes seconds on a Raspberry Pi.
- A file without a readable checksum is removed, because it cannot be verified.
- OpenVINO chooses the file names, so files that appear during a compilation are attributed to it. One compilation at a
  time holds the folder. Another one waits for a limited time, then runs without the cache.
- The cache never prevents a start: when the folder is unusable, the network is compiled without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance import files

log = logging.getLogger(__name__)

_SUFFIXES = (".blob", ".cl_cache")
_CHECKSUM = ".sha256"
_LOCK = "lock"
_MAX_CHECKSUM_BYTES = 1000
_MAX_FILES = 16
"""Files kept for each suffix, about 6 MB each for a nano network."""
_MIN_FREE_BYTES = 16_000_000
"""Free disk space below which no new file is kept: OpenVINO does not notice when its writes are cut short."""

_MAX_WAIT_S = 10.0
"""Time to wait for another compilation."""


class CompiledFiles:
    """OpenVINO's cache folder. `max_wait_s`: how long to wait for another compilation."""

    def __init__(self, folder: Path, *, max_wait_s: float = _MAX_WAIT_S) -> None:
        self._folder, self._max_wait_s = folder, max_wait_s

    @contextmanager
    def open(self, use: str) -> Iterator[Path | None]:
        """Hold the folder while `use`, one line of text, is loaded or compiled. Yields None: do without the cache."""
        lock = self._acquire()
        if lock is None:
            yield None
            return
        try:
            before = self._verify(use)
            yield self._folder if before is not None else None
            if before is not None:
                self._record(use, before)
        finally:
            os.close(lock)

    def uses(self) -> list[str]:
        """What the files are used for; nothing, if they cannot be read."""
        try:
            checksums = [_read_checksum(path) for path in sorted(self._files())]
        except OSError:
            return []
        return list(dict.fromkeys(use for _, use in filter(None, checksums)))

    def clear(self) -> None:
        """Remove all compiled networks, so that the next start compiles from scratch."""
        lock = self._acquire()
        if lock is None:
            return
        try:
            for path in self._files():
                _remove(path)
        except OSError as error:
            self._warn(error)
        finally:
            os.close(lock)

    def _acquire(self) -> int | None:
        """Create the folder if it is missing and lock it. None when it cannot be used now."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self._warn(error)
            return None
        deadline_s = time.monotonic() + self._max_wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another compilation holds it
                if time.monotonic() >= deadline_s:
                    os.close(lock)
                    return None
                time.sleep(0.05)
            else:
                return lock

    def _verify(self, use: str) -> set[Path] | None:
        """Remove damaged files of `use` and all files without a checksum. Returns the rest; None on failure."""
        try:
            for path in self._files():
                checksum = _read_checksum(path)
                if checksum is None:
                    log.info("removed a compiled network without a checksum: %s", path)
                    _remove(path)
                elif checksum[1] == use and _sha256(path) != checksum[0]:
                    log.warning(
                        "%s is damaged (sha256 mismatch): removed it and compiling again. If this happens often, the "
                        "SD card or disk may be failing", path, extra={"kind": "compiled_damaged"},
                    )  # fmt: skip
                    _remove(path)
            return self._files()
        except OSError as error:
            self._warn(error)
            return None

    def _record(self, use: str, before: set[Path]) -> None:
        """Write checksums for new files, and remove the oldest ones over the limit."""
        try:
            new = self._files() - before
            has_space = shutil.disk_usage(self._folder).free >= _MIN_FREE_BYTES
            for path in new:
                if not has_space:
                    _remove(path)
                    continue
                files.settle(path)
                files.write(_checksum_of(path), f"{_sha256(path)}  {use}\n".encode())
            for suffix in _SUFFIXES:
                kept = [path for path in self._files() if path.suffix == suffix]
                for path in sorted(kept, key=lambda path: path.stat().st_mtime)[:-_MAX_FILES]:
                    _remove(path)
            for checksum in self._folder.glob(f"*{_CHECKSUM}"):
                if not checksum.with_suffix("").exists():
                    checksum.unlink(missing_ok=True)
        except OSError as error:  # files without a checksum are removed next time
            self._warn(error)

    def _files(self) -> set[Path]:
        return {path for path in self._folder.iterdir() if path.suffix in _SUFFIXES}

    def _warn(self, error: OSError) -> None:
        log.warning(
            "cannot keep compiled networks in %s (%s): every start compiles them again", self._folder, error.strerror,
            extra={"kind": "compiled_files"},
        )  # fmt: skip


def _checksum_of(path: Path) -> Path:
    return path.with_name(path.name + _CHECKSUM)


def _read_checksum(path: Path) -> tuple[str, str] | None:
    """Digest and use; None when the checksum file is missing or invalid."""
    try:
        digest, separator, use = (
            files.read_plain(_checksum_of(path), _MAX_CHECKSUM_BYTES).decode().rstrip("\n").partition("  ")
        )
    except (OSError, UnicodeDecodeError):
        return None
    return (digest, use) if separator and len(digest) == 64 else None


def _sha256(path: Path) -> str | None:
    """None for anything that is unreadable or not a regular file."""
    try:
        with files.open_plain(path, links=False) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def _remove(path: Path) -> None:
    """Remove a file and its checksum, or whatever has taken their place. Raises OSError."""
    for target in (path, _checksum_of(path)):
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            with contextlib.suppress(FileNotFoundError):
                target.unlink()
