"""Saved pictures: complete files, a size limit, and deletion of the oldest regardless of the clock."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.saved_pictures import SavedPictures
from appliance.errors import ConfigError
from tests.fakes import FakeClock


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_file_name_has_the_number_time_and_classes(tmp_path: Path) -> None:
    album = SavedPictures(tmp_path / "new", max_bytes=1000, wall=FakeClock(1_700_000_000))
    path = album.keep(b"\xff\xd8picture", ["stop sign", "person", "person"])
    assert path == tmp_path / "new" / "00000001_20231114T221320_stop-sign_person.jpg"
    assert path.read_bytes() == b"\xff\xd8picture"
    assert [one.name for one in kept(tmp_path / "new")] == [path.name]


@pytest.mark.parametrize("names", [["no helmet " * 30], ["未佩戴安全帽的施工人员" * 2] * 4, ["\ud800" * 300]])
def test_long_names_of_classes_are_cut(tmp_path: Path, names: list[str]) -> None:
    names = [f"{number}{name}" for number, name in enumerate(names)]
    path = SavedPictures(tmp_path, max_bytes=1000).keep(b"\xff\xd8picture", names)
    assert path is not None
    assert kept(tmp_path) == [path]
    assert "_0" in path.name
    again = SavedPictures(tmp_path, max_bytes=10)
    assert again.keep(b"\xff\xd8next", ["car"]) is not None
    assert not path.exists()  # so it was known as one of the agent's


@given(sizes=st.lists(st.integers(1, 400), max_size=30))
def test_the_folder_keeps_the_newest_pictures_within_its_limit(
    sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("album")
    album = SavedPictures(folder, max_bytes=500)
    written = []
    for number, size in enumerate(sizes):
        path = album.keep(bytes([number]) * size, ["car"])
        assert path is not None
        written.append(path)
        assert sum(one.stat().st_size for one in folder.iterdir()) <= 500
        assert kept(folder) == written[-len(kept(folder)) :]
        first_gone = written[-len(kept(folder)) - 1] if len(written) > len(kept(folder)) else None
        if first_gone is not None:
            assert sum(sizes[: number + 1][-len(kept(folder)) - 1 :]) > 500


def test_the_oldest_pictures_are_deleted_first_after_a_start_in_1970(tmp_path: Path) -> None:
    clock = FakeClock(1_700_000_000)
    album = SavedPictures(tmp_path, max_bytes=25, wall=clock)
    album.keep(b"1234567890", ["a"])
    album.keep(b"1234567890", ["b"])
    clock.now_s = 5.0
    album = SavedPictures(tmp_path, max_bytes=25, wall=clock)
    album.keep(b"1234567890", ["c"])
    assert [path.stem.rpartition("_")[2] for path in kept(tmp_path)] == ["b", "c"]


def test_other_files_are_kept_and_partial_pictures_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x" * 1000)
    (tmp_path / ".00000007_19700101T000000_a.jpg.part").write_bytes(b"half")
    album = SavedPictures(tmp_path, max_bytes=10)
    album.keep(b"1234567890", ["a"])
    album.keep(b"1234567890", ["b"])
    assert (tmp_path / "holiday.jpg").stat().st_size == 1000
    assert len(kept(tmp_path)) == 2


def test_a_picture_larger_than_the_limit_is_not_saved_and_deletes_no_other(tmp_path: Path) -> None:
    album = SavedPictures(tmp_path, max_bytes=10)
    album.keep(b"1234567890", ["a"])
    assert album.keep(b"12345678901", ["b"]) is None
    assert len(kept(tmp_path)) == 1


def test_a_picture_that_does_not_fit_on_the_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    album = SavedPictures(tmp_path, max_bytes=1_000_000)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))  # a write ends in the middle, as on a full disk
    try:
        for _ in range(3):
            with pytest.raises(OSError, match="File too large"):
                album.keep(bytes(5000), ["car"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, ignored)
    assert kept(tmp_path) == []
    assert album.keep(b"fits", ["car"]) in kept(tmp_path)


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot save pictures here"):
        SavedPictures(tmp_path / "file" / "album", max_bytes=10)
