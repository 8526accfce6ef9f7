"""A folder of pictures as a source."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.camera.sources import open_source
from appliance.camera.sources.folder import FolderSource
from appliance.camera.sources.source import Source
from appliance.errors import SourceError
from tests.camera.films import limits, picture_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three grey pictures of level 0, 100 and 200, and a text file."""
    for name, level in (("a.jpg", 0), ("b.PNG", 100), ("c.webp", 200)):
        _, data = cv2.imencode(Path(name).suffix.lower(), np.full((48, 64, 3), level, np.uint8))
        (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def take(source: Source, max_side: int = 640) -> bytes:
    capture = source.take(limits(max_side))
    assert capture is not None
    return capture.picture


def test_a_folder_is_sent_unchanged_in_a_loop(folder: Path) -> None:
    source = open_source(str(folder))
    assert isinstance(source, FolderSource)
    files = [(folder / name).read_bytes() for name in ("a.jpg", "b.PNG", "c.webp")]
    assert [take(source) for _ in range(7)] == [*files, *files, files[0]]


def test_pictures_much_larger_than_the_limit_are_shrunk(folder: Path) -> None:
    source = open_source(str(folder))
    for _ in range(3):
        shown = picture_of(take(source, max_side=16))
        assert (shown.size.width, shown.format) == (16, "jpeg")


def test_a_single_picture_repeats_forever(folder: Path) -> None:
    source = open_source(str(folder / "b.PNG"))
    assert len({take(source) for _ in range(5)}) == 1


def test_added_and_removed_files_are_noticed(folder: Path) -> None:
    source = open_source(str(folder))
    first = take(source)
    (folder / "b.PNG").unlink()
    (folder / "bb.jpg").write_bytes(first)
    (folder / "d.jpg").write_bytes(first)
    c = (folder / "c.webp").read_bytes()
    assert [take(source) for _ in range(4)] == [first, c, first, first]


def test_an_empty_or_missing_folder_is_waited_for(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = FolderSource(folder, patience_s=0.01)
    first = take(source)
    away = folder.with_name("away")
    folder.rename(away)
    assert source.take(limits()) is None
    assert "No such file or directory; waiting for the folder" in caplog.text
    folder.mkdir()
    assert source.take(limits()) is None
    assert "no pictures in this folder" in caplog.text
    (folder / "a.jpg").write_bytes(first)
    assert take(source) == first


def test_a_folder_that_stays_away_does_not_fill_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = FolderSource(folder, patience_s=0.0)
    folder.rename(folder.with_name("gone for good"))
    for _ in range(50):
        assert source.take(limits()) is None
    assert caplog.text.count("waiting for the folder") == 1


def test_unreadable_files_are_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder, a pipe without a writer, an empty file, a broken link."""
    (folder / "aa.jpg").mkdir()
    os.mkfifo(folder / "ab.jpg")
    (folder / "ac.jpg").touch()
    (folder / "ad.jpg").symlink_to(folder / "nowhere")
    source = open_source(str(folder))
    assert [take(source) for _ in range(4)][3] == (folder / "a.jpg").read_bytes()
    assert all(f"a{letter}.jpg" in caplog.text for letter in "abcd")


def test_a_missing_single_picture_is_waited_for(folder: Path) -> None:
    source = FolderSource(folder / "a.jpg", patience_s=0.01)
    take(source)
    (folder / "a.jpg").unlink()
    assert source.take(limits()) is None
    (folder / "c.webp").rename(folder / "a.jpg")
    assert take(source)[:4] == b"RIFF"


def test_closing_the_source_ends_a_waiting_take(folder: Path) -> None:
    source = FolderSource(folder / "a.jpg", patience_s=600)
    (folder / "a.jpg").unlink()
    thread = threading.Thread(target=source.take, args=(limits(),))
    thread.start()
    source.close()
    thread.join(20)
    assert not thread.is_alive()


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="no pictures") as caught:
        open_source(str(tmp_path))
    assert caught.value.code == "source_empty"


@pytest.mark.parametrize("name", ["nowhere.jpg", "nowhere", "/dev/video99"])
def test_a_missing_path_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file") as caught:
        open_source(str(tmp_path / name))
    assert caught.value.code == "source_missing"
