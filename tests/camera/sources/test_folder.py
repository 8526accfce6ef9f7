"""A folder of pictures as a camera."""

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
    """Three pictures, of grey 0, 100 and 200, and a file that is none."""
    for name, level in (("a.jpg", 0), ("b.PNG", 100), ("c.webp", 200)):
        _, data = cv2.imencode(Path(name).suffix.lower(), np.full((48, 64, 3), level, np.uint8))
        (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def take(source: Source, max_side: int = 640) -> bytes:
    capture = source.take(limits(max_side))
    assert capture is not None
    return capture.picture


def test_a_folder_is_shown_in_order_again_and_again_as_it_is(folder: Path) -> None:
    source = open_source(str(folder))
    assert isinstance(source, FolderSource)
    files = [(folder / name).read_bytes() for name in ("a.jpg", "b.PNG", "c.webp")]
    assert [take(source) for _ in range(7)] == [*files, *files, files[0]]


def test_pictures_far_larger_than_the_box_wants_are_made_smaller(folder: Path) -> None:
    source = open_source(str(folder))
    for _ in range(3):
        shown = picture_of(take(source, max_side=16))
        assert (shown.size.width, shown.format) == (16, "jpeg")


def test_a_single_picture_is_shown_for_ever(folder: Path) -> None:
    source = open_source(str(folder / "b.PNG"))
    assert len({take(source) for _ in range(5)}) == 1


def test_files_come_and_go(folder: Path) -> None:
    source = open_source(str(folder))
    first = take(source)
    (folder / "b.PNG").unlink()
    (folder / "bb.jpg").write_bytes(first)
    (folder / "d.jpg").write_bytes(first)
    c = (folder / "c.webp").read_bytes()
    assert [take(source) for _ in range(4)] == [first, c, first, first]


def test_a_folder_that_is_empty_or_away_for_a_while_is_waited_for(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = FolderSource(folder, patience_s=0.01)
    first = take(source)
    away = folder.with_name("away")
    folder.rename(away)
    assert source.take(limits()) is None
    assert "No such file or directory; waiting for the folder" in caplog.text
    folder.mkdir()
    assert source.take(limits()) is None
    assert "no pictures in this folder now" in caplog.text
    (folder / "a.jpg").write_bytes(first)
    assert take(source) == first


def test_what_cannot_be_read_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder, a pipe nobody writes to, an upload that has not begun, a link to nowhere."""
    (folder / "aa.jpg").mkdir()
    os.mkfifo(folder / "ab.jpg")
    (folder / "ac.jpg").touch()
    (folder / "ad.jpg").symlink_to(folder / "nowhere")
    source = open_source(str(folder))
    assert [take(source) for _ in range(4)][3] == (folder / "a.jpg").read_bytes()
    assert all(f"a{letter}.jpg" in caplog.text for letter in "abcd")


def test_a_single_picture_that_is_replaced_is_waited_for(folder: Path) -> None:
    source = FolderSource(folder / "a.jpg", patience_s=0.01)
    take(source)
    (folder / "a.jpg").unlink()
    assert source.take(limits()) is None
    (folder / "c.webp").rename(folder / "a.jpg")
    assert take(source)[:4] == b"RIFF"


def test_who_waits_for_a_picture_is_woken_when_the_source_is_closed(folder: Path) -> None:
    source = FolderSource(folder / "a.jpg", patience_s=600)
    (folder / "a.jpg").unlink()
    thread = threading.Thread(target=source.take, args=(limits(),))
    thread.start()
    source.close()
    thread.join(20)
    assert not thread.is_alive()


def test_a_folder_without_pictures_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="no pictures") as caught:
        open_source(str(tmp_path))
    assert caught.value.code == "source_empty"


@pytest.mark.parametrize("name", ["nowhere.jpg", "nowhere", "/dev/video99"])
def test_what_is_not_there_is_said_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file") as caught:
        open_source(str(tmp_path / name))
    assert caught.value.code == "source_missing"
