"""Compiled networks on disk, each with a checksum: a damaged one is removed and compiled again, not used.

Rules of this file:
- OpenVINO trusts its cache. A file in which the disk has changed a page loads, and the network finds half or twice as
  much. So beside each file lies NAME.sha256: its digest, and the use (network and input size) it was compiled for.
- Only the files of the use that is about to be loaded are read: a cache of 100 MB costs a Raspberry Pi seconds.
- A file without a readable checksum is removed: nobody can say whether it is whole.
- OpenVINO names the files; what is new after a compilation belongs to it. So one compilation at a time has the folder,
  and another one waits for it, but not for ever: then it works without the cache.
- The cache never fails a start: where the folder cannot be used, the network is compiled without it.
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
_MOST_BYTES = 1000
"""Of a checksum."""
_MOST = 16
"""Files of one suffix that are kept, about 6 MB each for a nano network."""
_SPARE_BYTES = 16_000_000
"""Free disk space below which nothing new is kept: OpenVINO does not notice that what it writes is cut off."""

_LONGEST_S = 10.0
"""To wait for another compilation, s."""


class CompiledFiles:
    """What OpenVINO keeps in this folder. `patience_s`: how long to wait for another compilation."""

    def __init__(self, folder: Path, *, patience_s: float = _LONGEST_S) -> None:
        self._folder, self._patience_s = folder, patience_s

    @contextmanager
    def open(self, use: str) -> Iterator[Path | None]:
        """The folder, to load `use` from it or to compile into it; None: work without. `use` is one line of text."""
        lock = self._take()
        if lock is None:
            yield None
            return
        try:
            before = self._checked(use)
            yield self._folder if before is not None else None
            if before is not None:
                self._note(use, before)
        finally:
            os.close(lock)

    def clear(self) -> None:
        """Remove what was compiled, so that the next start compiles from scratch."""
        lock = self._take()
        if lock is None:
            return
        try:
            for path in self._files():
                _remove(path)
        except OSError as error:
            self._complain(error)
        finally:
            os.close(lock)

    def _take(self) -> int | None:
        """A lock on the folder, which is made if it is missing; None where it cannot be used now."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self._complain(error)
            return None
        latest_s = time.monotonic() + self._patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another compilation has it
                if time.monotonic() >= latest_s:
                    os.close(lock)
                    return None
                time.sleep(0.05)
            else:
                return lock

    def _checked(self, use: str) -> set[Path] | None:
        """The files that are left when those that `use` must not be loaded from are gone; None where that fails."""
        try:
            for path in self._files():
                known = _read_checksum(path)
                if known is None:
                    log.info("%s has no checksum: removed, and compiled again when it is needed", path)
                    _remove(path)
                elif known[1] == use and _sha256(path) != known[0]:
                    log.warning(
                        "%s is damaged (wrong sha256): removed, and compiled again. If this happens often, the card or "
                        "disk may be failing", path, extra={"kind": "compiled_damaged"},
                    )  # fmt: skip
                    _remove(path)
            return self._files()
        except OSError as error:
            self._complain(error)
            return None

    def _note(self, use: str, before: set[Path]) -> None:
        """Write the checksums of what is new, and keep the folder bounded."""
        try:
            fresh = self._files() - before
            whole = shutil.disk_usage(self._folder).free >= _SPARE_BYTES
            for path in fresh:
                if not whole:
                    _remove(path)
                    continue
                files.settle(path)
                files.write(_checksum_of(path), f"{_sha256(path)}  {use}\n".encode())
            for suffix in _SUFFIXES:
                kept = [path for path in self._files() if path.suffix == suffix]
                for path in sorted(kept, key=lambda path: path.stat().st_mtime)[:-_MOST]:
                    _remove(path)
            for checksum in self._folder.glob(f"*{_CHECKSUM}"):
                if not checksum.with_suffix("").exists():
                    checksum.unlink(missing_ok=True)
        except OSError as error:  # what has no checksum is removed the next time
            self._complain(error)

    def _files(self) -> set[Path]:
        return {path for path in self._folder.iterdir() if path.suffix in _SUFFIXES}

    def _complain(self, error: OSError) -> None:
        log.warning(
            "compiled networks cannot be kept in %s (%s): each start compiles them", self._folder, error.strerror,
            extra={"kind": "compiled_files"},
        )  # fmt: skip


def _checksum_of(path: Path) -> Path:
    return path.with_name(path.name + _CHECKSUM)


def _read_checksum(path: Path) -> tuple[str, str] | None:
    """Digest and use; None where the file is missing or cannot be read as such."""
    try:
        digest, separator, use = files.read_plain(_checksum_of(path), _MOST_BYTES).decode().rstrip("\n").partition("  ")
    except (OSError, UnicodeDecodeError):
        return None
    return (digest, use) if separator and len(digest) == 64 else None


def _sha256(path: Path) -> str | None:
    """None for what cannot be read, or is no file."""
    try:
        with files.open_plain(path, links=False) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def _remove(path: Path) -> None:
    """A file and its checksum, or what lies in their place. Raises OSError."""
    for one in (path, _checksum_of(path)):
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            with contextlib.suppress(FileNotFoundError):
                one.unlink()
