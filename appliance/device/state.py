"""The state folder: files that must survive a restart of the service.

Rules of this file:
- `files.write` writes the files: a reader finds either the new file or the previous one, complete.
- Only one service uses a folder. A second one runs without state, as it would overwrite the files of the first.
- Unreadable files are not deleted but renamed; the last three are kept.
- An unusable folder never ends the service: `problem` describes it.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from appliance import files

log = logging.getLogger(__name__)

Content = TypeVar("Content")

MOST_SET_ASIDE = 3
LOCK = "lock"


def load(
    folder: StateFolder | None,
    name: str,
    most_bytes: int,
    parse: Callable[[bytes], Content],
    *,
    unread: str,
    damaged: str,
    damage_level: int = logging.WARNING,
) -> Content | None:
    """The parsed content of a state file; None: there is none, or it is unreadable. Renames a damaged file.

    `parse`: raises ValueError for a damaged file. `unread`, `damaged`: what the log says about the consequence.
    """
    if folder is None or folder.path is None:
        return None
    path = folder.path / name
    try:
        return parse(files.read_plain(path, most_bytes))
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read %s (%s); %s", path, error.strerror, unread)
    except ValueError as error:
        log.log(damage_level, "%s is damaged (%s); renamed it%s", path, error, damaged)
        try:
            set_aside(path)
        except OSError as problem:
            log.warning("cannot rename %s: %s", path, problem.strerror)
    return None


def default_dir(environ: Mapping[str, str]) -> Path:
    """systemd's StateDirectory=, or the folder of the XDG base directory specification."""
    from_systemd = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if from_systemd:
        return Path(from_systemd)
    xdg = environ.get("XDG_STATE_HOME", "")
    base = Path(xdg) if Path(xdg).is_absolute() else Path(environ.get("HOME") or "/") / ".local/state"
    return base / "appliance"


class StateFolder:
    """A folder that belongs to this process from `open_folder` until `close`; `path` is None if it is unusable."""

    def __init__(self, path: Path | None, problem: str | None = None, *, taken: bool = False, lock: int = -1) -> None:
        self.path = path
        self.problem = problem
        """Why state is not saved, for the technician; None: it is."""
        self.taken = taken
        """Whether another service uses the folder."""
        self._lock = lock

    def close(self) -> None:
        """Release the folder for another service."""
        if self._lock >= 0:
            os.close(self._lock)
        self.path, self._lock = None, -1

    def __enter__(self) -> StateFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_folder(path: Path) -> StateFolder:
    """Create the folder if it is missing, and lock it for this process."""
    lock = -1
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it when this process ends
    except BlockingIOError:
        os.close(lock)
        return StateFolder(None, f"another service uses {path}", taken=True)
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        return StateFolder(None, f"cannot write to {path}: {error.strerror}")
    return StateFolder(path, lock=lock)


def set_aside(path: Path) -> Path:
    """Rename an unreadable file and delete the oldest of those renamed before; return the new path. Raises OSError."""
    former = sorted(_set_aside(path))
    last = former[-1][0] if former else 0
    for _, old in former[: max(0, len(former) - MOST_SET_ASIDE + 1)]:
        old.unlink()
    free = next(n for n in itertools.count(last + 1) if not os.path.lexists(path.with_name(f"{path.name}.corrupt-{n}")))
    return path.rename(path.with_name(f"{path.name}.corrupt-{free}"))


def _set_aside(path: Path) -> list[tuple[int, Path]]:
    found = []
    for other in path.parent.glob(f"{path.name}.corrupt-*"):
        number = other.name.rpartition("-")[2]
        if number.isdecimal() and not other.is_dir():
            found.append((int(number), other))
    return found
