"""The folder where the service keeps what must outlive it.

Rules of this file:
- Files in it are written by `files.write`: a reader finds the whole file or the one before it.
- One service writes a folder. A second one runs without: it would overwrite what the first one keeps.
- What cannot be read is not thrown away but set aside under another name, the last few of them.
- Nothing here ends the service: a folder that cannot be used is a sentence in `problem`.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

MOST_SET_ASIDE = 3
_LOCK = "lock"


def default_dir(environ: Mapping[str, str]) -> Path:
    """systemd's StateDirectory=, else what the XDG base directory specification says."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    xdg = environ.get("XDG_STATE_HOME", "")
    base = Path(xdg) if Path(xdg).is_absolute() else Path(environ.get("HOME") or "/") / ".local/state"
    return base / "appliance"


class StateFolder:
    """A folder that this process may write, from `open_folder` until it is closed; `path` is None where it may not."""

    def __init__(self, path: Path | None, problem: str | None = None, *, taken: bool = False, lock: int = -1) -> None:
        self.path = path
        self.problem = problem
        """Why nothing is kept, for a technician."""
        self.taken = taken
        """Another service keeps its state here."""
        self._lock = lock

    def close(self) -> None:
        """Let another service have it."""
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
    """Make the folder if it is missing, and take it for this process."""
    lock = -1
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / _LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when this process ends
    except BlockingIOError:
        os.close(lock)
        return StateFolder(None, f"another service keeps its state in {path}", taken=True)
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        return StateFolder(None, f"{path} cannot be written: {error.strerror}")
    return StateFolder(path, lock=lock)


def set_aside(path: Path) -> Path:
    """Rename what cannot be read; of those there are already, the oldest go. Returns its new name. Raises OSError."""
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
