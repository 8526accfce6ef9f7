"""A repository in one file: what may be in it, and what is left of it."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from appliance.commands import updates
from appliance.settings.schema import Settings
from appliance.update.places import UpdateError, UpdatePlaces
from appliance.update.single_file import opened, unpack_file


def test_a_file_from_a_stick_can_only_fill_its_own_folder(tmp_path: Path) -> None:
    archive = tmp_path / "update.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("metadata/root.json", "../outside", "/etc/outside", "elsewhere/file", "targets/../../outside"):
            info = tarfile.TarInfo(name)
            info.size = 2
            file.addfile(info, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("targets/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    unpack_file(archive, tmp_path / "work/into")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())
    assert found == ["update.tar", "work/into/metadata/root.json"]


def _archive(path: Path, **sizes: int) -> Path:
    """A repository in one file, with these files of random bytes below targets/."""
    with tarfile.open(path, "w") as file:
        for name, size in {"metadata/root.json": 2, **{f"targets/{one}": size for one, size in sizes.items()}}.items():
            info = tarfile.TarInfo(name)
            info.size = size
            file.addfile(info, io.BytesIO(os.urandom(size)))
    return path


@pytest.fixture
def places(tmp_path: Path) -> UpdatePlaces:
    places = UpdatePlaces(tmp_path / "device")
    places.work.mkdir(parents=True)
    return places


def _left(places: UpdatePlaces) -> list[str]:
    return [path.name for path in places.work.rglob("*") if path.name != "lock"]


def test_nothing_is_left_of_a_file_that_is_cut_off(places: UpdatePlaces, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "update.tar", first=300_000, second=300_000)
    with archive.open("r+b") as file:
        file.truncate(500_000)
    with pytest.raises(UpdateError, match=r"unexpected end of data\. If it is incomplete, copy it again"):
        updates.fetch(Settings(), places, str(archive), print, downgrade=False)
    assert _left(places) == []


def test_nothing_is_left_when_the_disk_is_full(
    places: UpdatePlaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: io.BufferedWriter) -> None:
        target.write(b"x" * 100_000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    archive = _archive(tmp_path / "update.tar", first=300_000)
    with pytest.raises(UpdateError, match="No space left on device"), opened(places, str(archive)):
        pass
    assert _left(places) == []


def test_what_a_killed_attempt_left_is_removed_by_the_next(places: UpdatePlaces, tmp_path: Path) -> None:
    places.unpacked.mkdir()
    (places.unpacked / "half").write_bytes(b"x" * 1000)
    with opened(places, "https://updates.example"):
        assert _left(places) == []
    with opened(places, str(_archive(tmp_path / "update.tar", first=5))) as place:
        assert sorted(path.name for path in Path(place).rglob("*") if path.is_file()) == ["first", "root.json"]
    assert _left(places) == []


def test_a_check_does_not_remove_the_files_of_an_installation(places: UpdatePlaces, tmp_path: Path) -> None:
    archive = str(_archive(tmp_path / "update.tar", first=5))
    with opened(places, archive) as place:
        with pytest.raises(UpdateError, match="another check or download") as raised, opened(places, ""):
            pass
        assert raised.value.code == "update_busy"
        assert Path(place, "targets/first").exists()


def test_a_small_file_cannot_fill_the_disk(places: UpdatePlaces, tmp_path: Path) -> None:
    archive = tmp_path / "update.tar"
    hole = tmp_path / "targets/hole"
    hole.parent.mkdir()
    with hole.open("wb") as file:
        file.truncate(50_000_000)
    for form in ("gnu", "posix"):
        command = ["tar", "--sparse", f"--format={form}", "-C", str(tmp_path), "-cf", str(archive), "targets/hole"]
        subprocess.run(command, check=True)
        assert archive.stat().st_size < 50_000
        with pytest.raises(UpdateError, match="targets/hole is a sparse file"), opened(places, str(archive)):
            pass
        assert _left(places) == []
