"""A video file as a source: real-time playback, and no decoding of JPEG."""

from __future__ import annotations

import itertools
import struct
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.sources import jpeg, open_source
from appliance.camera.sources.source import PATIENCE_S, Capture
from appliance.camera.sources.video import VideoSource, pace
from appliance.errors import SourceError
from tests.camera.films import film, limits, number_of, picture_of, stamped
from tests.fakes import FakeClock

FPS, FRAMES = 10, 10


@pytest.fixture(params=["mjpeg", "libx264"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return film(tmp_path / ("a.avi" if request.param == "mjpeg" else "a.mp4"), request.param, frames=FRAMES, fps=FPS)


def watching(path: Path) -> tuple[VideoSource, FakeClock]:
    """A source whose waits only advance a fake clock."""
    clock = FakeClock()
    return VideoSource(str(path), clock=clock, wait=clock.pass_), clock


def taken(source: VideoSource, max_side: int = 640) -> Capture:
    capture = source.take(limits(max_side))
    assert capture is not None
    return capture


def test_a_video_plays_in_a_loop_in_real_time(path: Path) -> None:
    source, clock = watching(path)
    captures = [taken(source) for _ in range(2 * FRAMES + 1)]
    assert [number_of(capture.picture) for capture in captures] == [*range(FRAMES), *range(FRAMES), 0]
    started_s = captures[0].taken_s
    assert [round((capture.taken_s - started_s) * FPS, 3) for capture in captures] == list(range(2 * FRAMES + 1))
    assert clock.now_s == captures[-1].taken_s
    source.close()


def test_frames_between_two_captures_are_skipped(path: Path) -> None:
    source, clock = watching(path)
    assert number_of(taken(source).picture) == 0
    clock.pass_(3.5 / FPS)
    assert number_of(taken(source).picture) == 3
    assert number_of(taken(source).picture) == 4
    clock.pass_(0.95)
    assert number_of(taken(source).picture) == 3  # after one loop
    source.close()


def test_playback_continues_where_it_stopped_after_an_hour(path: Path) -> None:
    source, clock = watching(path)
    assert number_of(taken(source).picture) == 0
    clock.pass_(3600)
    assert [number_of(taken(source).picture) for _ in range(3)] == [1, 2, 3]
    source.close()


def test_the_jpegs_of_a_video_are_unchanged(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", "mjpeg", frames=4, fps=FPS)
    source, _ = watching(path)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert [taken(source).picture for _ in packets] == packets
    source.close()


def test_a_video_is_scaled_to_the_requested_size(path: Path) -> None:
    source, _ = watching(path)
    assert picture_of(taken(source, 640).picture).size.width == 640
    assert picture_of(taken(source, 160).picture).size.width == 160
    source.close()


def test_a_file_that_is_not_a_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"this is no film")
    with pytest.raises(SourceError, match=r"film\.mp4: cannot open") as caught:
        open_source(str(path))
    assert caught.value.code == "source_unreadable"


def test_a_file_without_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    with pytest.raises(SourceError, match="contains no video"):
        open_source(str(path))


def test_closing_twice_is_allowed_and_ends_playback(path: Path) -> None:
    source, _ = watching(path)
    source.take(limits())
    source.close()
    source.close()
    assert source.take(limits()) is None


def test_time_stamps_that_jump_a_day_count_as_a_cut(tmp_path: Path) -> None:
    path = stamped(tmp_path / "jump.mkv", [0.0, 0.1, 0.2, 86400.0, 86400.1, 86400.2])
    source, clock = watching(path)
    captures = [taken(source) for _ in range(9)]
    assert [number_of(capture.picture) for capture in captures] == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert clock.now_s - captures[0].taken_s == pytest.approx(0.8)
    source.close()


def test_a_video_that_does_not_start_at_zero_loops_without_a_pause(tmp_path: Path) -> None:
    source, clock = watching(stamped(tmp_path / "late.mkv", [90000.0, 90000.1, 90000.2]))
    captures = [taken(source) for _ in range(7)]
    assert [number_of(capture.picture) for capture in captures] == [0, 1, 2, 0, 1, 2, 0]
    assert clock.now_s - captures[0].taken_s == pytest.approx(0.6)
    source.close()


def test_take_times_out_while_the_next_picture_is_not_due(tmp_path: Path) -> None:
    """A time lapse must not look like a hung driver to the watchdog."""
    source, clock = watching(stamped(tmp_path / "lapse.mkv", [0.0, 3600.0, 7200.0]))
    started_s = clock.now_s
    assert number_of(taken(source).picture) == 0
    assert source.take(limits()) is None
    assert clock.now_s - started_s == PATIENCE_S
    while (capture := source.take(limits())) is None:
        assert clock.now_s - started_s < 60
    assert number_of(capture.picture) == 1
    assert clock.now_s - started_s == pytest.approx(10)
    source.close()


def test_closing_the_source_ends_a_wait(tmp_path: Path) -> None:
    source = VideoSource(str(stamped(tmp_path / "lapse.mkv", [0.0, 3600.0])), clock=time.monotonic)
    taken(source)
    captures: list[Capture | None] = []
    thread = threading.Thread(target=lambda: captures.extend(source.take(limits()) for _ in range(100)))
    thread.start()
    source.close()
    thread.join(20)
    assert not thread.is_alive()
    assert set(captures) == {None}


stamps = st.none() | st.floats(-1e9, 1e9)


@given(st.lists(stamps, min_size=2, max_size=30))
def test_a_video_advances_with_any_time_stamps(times: list[float | None]) -> None:
    gap_s = None
    for before_s, at_s in itertools.pairwise(times):
        gap_s, step_s = pace(None if before_s is None or at_s is None else at_s - before_s, gap_s)
        assert 0 < step_s <= 10
        assert gap_s is None or 0 < gap_s <= 10


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), [[1, 2], [3, 4]]),
        ((0, 1, -1, 0), [[3, 1], [4, 2]]),  # clockwise, as written by a phone that is held upright
        ((-1, 0, 0, -1), [[4, 3], [2, 1]]),
        ((0, -1, 1, 0), [[2, 4], [1, 3]]),
        ((-1, 0, 0, 1), [[2, 1], [4, 3]]),  # mirrored
        ((0, 1, 1, 0), [[1, 3], [2, 4]]),
    ],
)
def test_a_frame_is_rotated_by_its_display_matrix(matrix: tuple[int, ...], upright: list[list[int]]) -> None:
    a, b, c, d = (one * 65536 for one in matrix)

    class Frame:
        side_data = {"DISPLAYMATRIX": np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()}  # noqa: RUF012

    turn = jpeg.turn_of(Frame())
    plane = np.array([[1, 2], [3, 4]], np.uint8)
    assert (plane if turn is None else turn(plane)).tolist() == upright


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_a_portrait_video_of_a_phone_is_upright(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "phone.mp4"
    turned(film(tmp_path / "plain.mp4", codec, frames=3), path)
    source, _ = watching(path)
    for _ in range(3):
        size = picture_of(taken(source).picture).size
        assert (size.width, size.height) == (360, 640)
    source.close()


def turned(plain: Path, path: Path) -> None:
    """Copy a video with a clockwise quarter turn in its track header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 36 + (20 if data[at] == 0 else 32) - 20 + 4
    unity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    assert data[at : at + 36] == unity
    data[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
