"""Where an agent's pictures come from."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.camera.sources import DemoSource, PictureSource, VideoSource, open_source
from appliance.errors import SourceError
from appliance.values import Picture, Size
from appliance.vision.decode import decode, encode_jpeg, read_header
from tests.fakes import FakeClock

FPS, FRAMES = 50, 5


def picture_of(data: bytes) -> Picture:
    return read_header(data, 10**8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, of grey 0, 100 and 200, and a file that is none."""
    for name, level in (("a.jpg", 0), ("b.PNG", 100), ("c.webp", 200)):
        _, data = cv2.imencode(Path(name).suffix.lower(), np.full((48, 64, 3), level, np.uint8))
        (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames of 640x360, each brighter than the one before."""
    path = tmp_path / "street.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 360))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write MJPG videos")
    for number in range(FRAMES):
        writer.write(np.full((360, 640, 3), 20 + 50 * number, np.uint8))
    writer.release()
    return path


def test_the_demo_is_a_street_that_moves() -> None:
    clock = FakeClock()
    source = open_source("demo")
    assert isinstance(source, DemoSource)
    source = DemoSource(clock)
    pictures = source.pictures()
    first = next(pictures)
    clock.pass_(1.0)
    assert picture_of(first).size == Size(1280, 720)
    assert next(pictures) != first
    source.resize(320, 50)
    smaller = next(pictures)
    assert picture_of(smaller).size == Size(320, 180)
    assert len(smaller) < len(first) / 5
    source.resize(4000, 80)
    assert picture_of(next(pictures)).size == Size(1280, 720)
    source.close()


def test_a_folder_is_shown_in_order_again_and_again_as_it_is(folder: Path) -> None:
    source = open_source(str(folder))
    assert isinstance(source, PictureSource)
    source.resize(32, 30)
    shown = list(itertools.islice(source.pictures(), 7))
    files = [(folder / name).read_bytes() for name in ("a.jpg", "b.PNG", "c.webp")]
    assert shown == [*files, *files, files[0]]
    assert [picture_of(data).format for data in shown[:3]] == ["jpeg", "png", "webp"]


def test_a_single_picture_is_shown_for_ever(folder: Path) -> None:
    source = open_source(str(folder / "b.PNG"))
    assert len(set(itertools.islice(source.pictures(), 5))) == 1


def test_a_picture_that_vanishes_ends_the_source(folder: Path) -> None:
    pictures = open_source(str(folder)).pictures()
    next(pictures)
    (folder / "b.PNG").unlink()
    with pytest.raises(SourceError, match=r"b\.PNG"):
        next(pictures)


def test_a_video_is_shown_from_its_start_and_again(video: Path) -> None:
    source = open_source(str(video))
    assert isinstance(source, VideoSource)
    clock = FakeClock()  # no time passes for it: no frame is ever late
    source.close()
    source = VideoSource(str(video), live=False, clock=clock)
    pictures = source.pictures()
    levels = []
    for data in itertools.islice(pictures, 2 * FRAMES):
        assert picture_of(data).size == Size(640, 360)
        levels.append(round(float(decode(picture_of(data)).mean()) / 50 - 0.4))
        clock.pass_(1 / FPS)
    assert levels == [*range(FRAMES), *range(FRAMES)]
    source.resize(160, 80)
    assert picture_of(next(pictures)).size == Size(160, 90)
    source.close()


def test_a_video_skips_what_passed_while_nobody_asked(video: Path) -> None:
    clock = FakeClock()
    source = VideoSource(str(video), live=False, clock=clock)
    pictures = source.pictures()
    next(pictures)
    clock.pass_(3.5 / FPS)
    level = float(decode(picture_of(next(pictures))).mean())
    assert level == pytest.approx(20 + 50 * 3, abs=5)
    source.close()


def test_a_live_camera_that_ends_ends_the_source(video: Path) -> None:
    source = VideoSource(str(video), live=True)
    with pytest.raises(SourceError, match="no more pictures"):
        list(source.pictures())
    source.close()


@pytest.mark.parametrize("name", ["nowhere.jpg", "nowhere", "/dev/video99"])
def test_what_is_not_there_is_said_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_source(str(tmp_path / name))


def test_a_folder_without_pictures_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="no pictures"):
        open_source(str(tmp_path))


def test_a_file_that_is_no_video_is_said_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"this is no film")
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source(str(path))
    capfd.readouterr()  # OpenCV tells it to the terminal as well


def test_pictures_of_a_picture_source_are_what_the_box_takes(tmp_path: Path) -> None:
    (tmp_path / "x.jpeg").write_bytes(encode_jpeg(np.zeros((10, 10, 3), np.uint8), 80))
    assert picture_of(next(open_source(str(tmp_path)).pictures())).size == Size(10, 10)
