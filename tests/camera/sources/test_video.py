"""A video file as a camera: at its own pace, and without decoding what is JPEG already."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from appliance.camera.sources import open_source
from appliance.camera.sources.video import VideoSource
from appliance.errors import SourceError
from tests.camera.films import film, limits, number_of, picture_of
from tests.fakes import FakeClock

FPS, FRAMES = 10, 10


@pytest.fixture(params=["mjpeg", "libx264"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return film(tmp_path / ("a.avi" if request.param == "mjpeg" else "a.mp4"), request.param, frames=FRAMES, fps=FPS)


def watching(path: Path) -> tuple[VideoSource, FakeClock]:
    """A film whose waiting only moves its clock."""
    clock = FakeClock()
    return VideoSource(str(path), clock=clock, wait=clock.pass_), clock


def test_a_film_is_shown_from_its_start_and_again_each_picture_when_it_is_due(path: Path) -> None:
    source, clock = watching(path)
    shots = [source.take(limits()) for _ in range(2 * FRAMES + 1)]
    assert [number_of(shot.picture) for shot in shots] == [*range(FRAMES), *range(FRAMES), 0]
    begun_s = shots[0].taken_s
    assert [round((shot.taken_s - begun_s) * FPS, 3) for shot in shots] == list(range(2 * FRAMES + 1))
    assert clock.now_s == shots[-1].taken_s
    source.close()


def test_what_passed_while_nobody_asked_is_skipped(path: Path) -> None:
    source, clock = watching(path)
    assert number_of(source.take(limits()).picture) == 0
    clock.pass_(3.5 / FPS)
    assert number_of(source.take(limits()).picture) == 3
    assert number_of(source.take(limits()).picture) == 4
    clock.pass_(0.95)
    assert number_of(source.take(limits()).picture) == 3  # once around
    source.close()


def test_who_was_away_for_an_hour_goes_on_where_it_stopped(path: Path) -> None:
    source, clock = watching(path)
    assert number_of(source.take(limits()).picture) == 0
    clock.pass_(3600)
    assert [number_of(source.take(limits()).picture) for _ in range(3)] == [1, 2, 3]
    source.close()


def test_a_film_of_jpegs_is_passed_on_byte_for_byte(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", "mjpeg", frames=4, fps=FPS)
    source, _ = watching(path)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert [source.take(limits()).picture for _ in packets] == packets
    source.close()


def test_a_film_keeps_to_the_size_asked_for(path: Path) -> None:
    source, _ = watching(path)
    assert picture_of(source.take(limits(640)).picture).size.width == 640
    assert picture_of(source.take(limits(160)).picture).size.width == 160
    source.close()


def test_a_file_that_is_no_video_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"this is no film")
    with pytest.raises(SourceError, match=r"film\.mp4: cannot be opened") as caught:
        open_source(str(path))
    assert caught.value.code == "source_unreadable"


def test_a_file_without_pictures_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    with pytest.raises(SourceError, match="no video in it"):
        open_source(str(path))


def test_a_film_that_is_closed_twice_or_early_is_let_go_of(path: Path) -> None:
    source, _ = watching(path)
    source.take(limits())
    source.close()
    source.close()
