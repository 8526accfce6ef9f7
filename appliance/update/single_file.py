"""A repository in one file, for example on a USB stick: unpacked while one program reads it, removed afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

from appliance.update import staging
from appliance.update.places import UNREACHABLE, UpdateError, UpdatePlaces, unreadable

_MOST_FILES = 20_000
"""In a repository; a release has about fifty."""


@contextlib.contextmanager
def opened(places: UpdatePlaces, source: str) -> Iterator[str]:
    """The source as an address or folder; a file is unpacked until the block ends. Raises UpdateError."""
    path = Path(source)
    try:
        in_one_file = source != "" and not source.startswith("https://") and path.is_file()
    except OSError:
        raise unreadable(path) from None
    with _alone(places):
        shutil.rmtree(places.unpacked, ignore_errors=True)  # of an attempt that was killed
        try:
            if in_one_file:
                unpack_file(path, places.unpacked)
            yield str(places.unpacked) if in_one_file else source
        finally:
            shutil.rmtree(places.unpacked, ignore_errors=True)


@contextlib.contextmanager
def _alone(places: UpdatePlaces) -> Iterator[None]:
    """Without another check or fetch, which would remove these files. Raises UpdateError."""
    with contextlib.ExitStack() as held:
        try:
            lock = held.enter_context((places.work / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpdateError(
                "another check or download is running. Wait for its end, then try again", "update_busy"
            ) from None
        except OSError as error:
            raise UpdateError(f"{places.work} cannot be written: {error.strerror}") from None
        yield


def unpack_file(path: Path, into: Path) -> None:
    """Unpack a repository in one file. Its content is not trusted: plain files only. Raises UpdateError."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = _to_unpack(archive)
            staging.require_space(into.parent, sum(member.size for member in members))
            for member in members:
                target = into / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                file = archive.extractfile(member)
                assert file is not None  # it is a regular file
                with target.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
    except (tarfile.TarError, OSError) as error:
        raise UpdateError(
            f"{path} cannot be unpacked: {error}. If it is incomplete, copy it again", UNREACHABLE
        ) from None


def _to_unpack(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """The files of a repository. Raises TarError for an archive that nobody makes of one."""
    members = []
    for member in archive:
        parts = member.name.split("/")
        if not member.isfile() or parts[0] not in ("metadata", "targets") or ".." in parts:
            continue
        if member.issparse():  # 10 kB become as many gigabytes as the header says
            raise tarfile.TarError(f"{member.name} is a sparse file, which no repository contains")
        members.append(member)
        if len(members) > _MOST_FILES:
            raise tarfile.TarError(f"it contains more than {_MOST_FILES} files")
    return members
