"""Temporary folders for models under construction, and cleaning up after a power failure.

Rules of this file:
- A process that makes a model holds a shared lock on the models folder, which the kernel releases when the process ends
  in any way. A temporary folder that exists while no lock is held is a leftover.
- A leftover that contains the only copy of a model is restored. Replacing a model takes two renames, and power may fail
  between them.
- Other hidden folders, such as `.git` or the compile cache, are never touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from appliance.files import settle

log = logging.getLogger(__name__)

FolderKind = Literal["import", "fetch", "export", "remove", "new"]
_LEFTOVER = re.compile(r"\.(import|fetch|export|remove|new)-[a-z0-9_]{8}")
_FORMER = ".former"


@contextlib.contextmanager
def folder(models_dir: Path, kind: FolderKind) -> Iterator[Path]:
    """Create a hidden folder in `models_dir` and delete it afterwards; sweep leftovers first. Raises OSError."""
    with _locked(models_dir), tempfile.TemporaryDirectory(dir=models_dir, prefix=f".{kind}-") as place:
        yield Path(place)


@contextlib.contextmanager
def appearing(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Create a folder to fill, which atomically becomes `target` at the end.

    `replace`: an existing one; False: raise FileExistsError if there is one by then. It may contain files only. They
    become readable by everyone: root makes a model, the service user reads it. They are flushed to the disk before the
    folder appears, so that a power failure cannot damage it.
    """
    with folder(target.parent, "new") as place:
        fresh = place / target.name
        fresh.mkdir()
        yield fresh
        for path in fresh.iterdir():
            path.chmod(0o644)
        fresh.chmod(0o755)
        settle(*fresh.iterdir(), fresh)
        former = place / _FORMER
        if target.exists():
            if not replace:
                raise FileExistsError(errno.EEXIST, "already exists: another command has just made it", str(target))
            target.rename(former)
        try:
            fresh.rename(target)
        except OSError:
            if former.exists() and not target.exists():
                former.rename(target)
            raise
        settle(target.parent)


def sweep(models_dir: Path) -> int:
    """Delete leftovers of interrupted commands and return how many; skip if a model is being made right now.

    Without write permission they stay.
    """
    try:
        lock = os.open(models_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return 0
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _sweep(models_dir)
    except OSError:  # a model is being made, or the file system has no locks
        return 0
    finally:
        os.close(lock)


@contextlib.contextmanager
def _locked(models_dir: Path) -> Iterator[None]:
    sweep(models_dir)
    lock = os.open(models_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # without locks, `sweep` does nothing either
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _sweep(models_dir: Path) -> int:
    deleted = 0
    for path in sorted(models_dir.iterdir()):
        if not _LEFTOVER.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        with contextlib.suppress(OSError):
            _restore(path, models_dir)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            deleted += 1
            log.warning("deleted %s, left by an interrupted command", path)
    return deleted


def _restore(leftover: Path, models_dir: Path) -> None:
    """Finish an interrupted replacement: the new model is complete once the former one was moved away."""
    if not (leftover / _FORMER).is_dir():
        return
    for fresh in leftover.iterdir():
        target = models_dir / fresh.name
        if fresh.name != _FORMER and fresh.is_dir() and not target.exists():
            fresh.rename(target)
            settle(models_dir)
            log.warning("restored %s after an interrupted replacement", target)
