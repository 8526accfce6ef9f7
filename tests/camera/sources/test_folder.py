"""A folder of pictures as a camera."""

from __future__ import annotations

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
    shot = source.take(limits(max_side))
    assert shot is not None
    return shot.picture


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


def test_a_picture_that_vanishes_ends_the_source(folder: Path) -> None:
    source = open_source(str(folder))
    take(source)
    (folder / "b.PNG").unlink()
    with pytest.raises(SourceError, match=r"b\.PNG") as caught:
        take(source)
    assert caught.value.code == "source_unreadable"


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
