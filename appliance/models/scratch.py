"""Folders in which a model is made before it appears under its name, and what a power cut left of them.

Rules of this file:
- Whoever makes a model holds a shared lock on the models' folder; the kernel releases it however the process ends. What
  is found there while nobody holds one is a leftover.
- A leftover that holds the only copy of a model is put back. A model is replaced by two renames, and power may fail
  between them.
- Nothing else that is hidden is touched: a `.git`, the compile cache.
"""

from __future__ import annotations

import contextlib
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

Kind = Literal["import", "fetch", "export", "remove", "new"]
_LEFTOVER = re.compile(r"\.(import|fetch|export|remove|new)-[a-z0-9_]{8}")
_FORMER = ".former"


@contextlib.contextmanager
def folder(models_dir: Path, kind: Kind) -> Iterator[Path]:
    """A hidden folder in `models_dir`, gone afterwards; leftovers of others are swept first. Raises OSError."""
    with _working(models_dir), tempfile.TemporaryDirectory(dir=models_dir, prefix=f".{kind}-") as place:
        yield Path(place)


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `target` at the end, whole or not at all, in place of what was there.

    It may name files only, which everybody may read: root makes a model, and the service uses it. When it is there, a
    power cut leaves it whole.
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
            target.rename(former)
        try:
            fresh.rename(target)
        except OSError:
            if former.exists() and not target.exists():
                former.rename(target)
            raise
        settle(target.parent)


def sweep(models_dir: Path) -> int:
    """Delete what a power cut left, unless somebody makes a model right now; how many leftovers are gone.

    Where the folder is not ours to write, they stay.
    """
    try:
        lock = os.open(models_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return 0
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _sweep(models_dir)
    except OSError:  # somebody is at work, or the file system has no locks
        return 0
    finally:
        os.close(lock)


@contextlib.contextmanager
def _working(models_dir: Path) -> Iterator[None]:
    sweep(models_dir)
    lock = os.open(models_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks is never swept either
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _sweep(models_dir: Path) -> int:
    gone = 0
    for path in sorted(models_dir.iterdir()):
        if not _LEFTOVER.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        with contextlib.suppress(OSError):
            _put_back(path, models_dir)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            gone += 1
            log.warning("%s was left by a command that was cut short; it is deleted", path)
    return gone


def _put_back(leftover: Path, models_dir: Path) -> None:
    """Once the former model has been moved away, the new one beside it is whole."""
    if not (leftover / _FORMER).is_dir():
        return
    for fresh in leftover.iterdir():
        target = models_dir / fresh.name
        if fresh.name != _FORMER and fresh.is_dir() and not target.exists():
            fresh.rename(target)
            settle(models_dir)
            log.warning("%s is back, as it was to be when power failed", target)
