"""Live cameras: only the newest frame, no decoding of JPEG, and reopening."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.camera.sources import open_source, pyav
from appliance.camera.sources.live import LiveSource, shutter_s
from appliance.camera.sources.pyav import FFmpegInput
from appliance.camera.sources.source import Capture
from appliance.errors import SourceError
from appliance.values import CameraLimits, Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.camera.films import film, limits, number_of, picture_of
from tests.local_server import LocalServer, QuietHandler

PICTURES = [encode_jpeg(scene.draw(Size(1280, 720), seed=number)[0], 80) for number in range(10)]


class NetworkCamera(LocalServer):
    """A camera that pushes JPEGs over HTTP (multipart/x-mixed-replace).

    It sends the pictures passed to `show`; `hang_up` ends all connections.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self._change = threading.Condition()
        self._shown: list[bytes | None] = []
        self.connections = 0

    def show(self, *pictures: bytes) -> None:
        with self._change:
            self._shown += pictures
            self._change.notify_all()

    def hang_up(self) -> None:
        with self._change:
            self._shown.append(None)
            self._change.notify_all()

    def wait_for(self, number: int) -> bytes | None:
        with self._change:
            assert self._change.wait_for(lambda: len(self._shown) > number, 20)
            return self._shown[number]

    def connect(self) -> int:
        """Count a client; return the number of its first picture."""
        with self._change:
            self.connections += 1
            ended = [number for number, picture in enumerate(self._shown) if picture is None]
            return ended[-1] + 1 if ended else 0


class _Handler(QuietHandler):
    server: NetworkCamera

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = self.server.connect()
        try:
            while (picture := self.server.wait_for(number)) is not None:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                number += 1
        except (OSError, AssertionError):
            return


@pytest.fixture
def camera() -> Iterator[NetworkCamera]:
    server = NetworkCamera()
    with server.running():
        yield server
        server.hang_up()


def take(source: LiveSource, current: CameraLimits | None = None) -> Capture:
    for _ in range(10):
        capture = source.take(current or limits())
        if capture is not None:
            return capture
    raise AssertionError("no picture arrived")


def until(source: LiveSource, picture: bytes) -> None:
    """Take pictures until this one arrives."""
    deadline_s = time.monotonic() + 20
    while take(source).picture != picture:
        assert time.monotonic() < deadline_s


def test_pictures_of_a_network_camera_are_unchanged(camera: NetworkCamera) -> None:
    source = open_source(camera.url)
    assert isinstance(source, LiveSource)
    camera.show(*PICTURES[:4])
    until(source, PICTURES[3])
    source.close()


def test_only_the_newest_picture_is_kept_and_none_is_returned_twice(camera: NetworkCamera) -> None:
    source = LiveSource(lambda _: pyav.network(camera.url), patience_s=0.2)
    camera.show(*PICTURES[:5])
    until(source, PICTURES[4])
    assert source.take(limits()) is None
    camera.show(*PICTURES[5:])
    seen = [take(source)]
    deadline_s = time.monotonic() + 20
    while seen[-1].picture != PICTURES[9]:
        assert time.monotonic() < deadline_s
        seen.append(take(source))
    assert [capture.taken_s for capture in seen] == sorted(capture.taken_s for capture in seen)
    assert len({capture.picture for capture in seen}) == len(seen)
    source.close()


def test_a_camera_that_disappears_is_reopened(camera: NetworkCamera, caplog: pytest.LogCaptureFixture) -> None:
    source = LiveSource(lambda _: pyav.network(camera.url), reopen_after_s=0.01)
    camera.show(*PICTURES[:3])
    until(source, PICTURES[2])
    camera.hang_up()
    camera.show(*PICTURES[5:8])
    until(source, PICTURES[7])
    assert camera.connections >= 2
    assert "reopening in" in caplog.text
    source.close()


def test_an_unreachable_camera_is_an_error_that_hides_its_password() -> None:
    source = LiveSource(lambda _: pyav.network("http://admin:hunter2@127.0.0.1:9/"))
    with pytest.raises(SourceError, match=r"http://admin:\*\*\*@127\.0\.0\.1:9/: cannot open") as caught:
        take(source)
    assert caught.value.code == "source_unreadable"
    assert "hunter2" not in str(caught.value)
    source.close()


def test_closing_the_source_ends_a_waiting_take(camera: NetworkCamera) -> None:
    source = LiveSource(lambda _: pyav.network(camera.url), patience_s=60)
    waiting: list[Capture | None] = []
    thread = threading.Thread(target=lambda: waiting.append(source.take(limits())))
    thread.start()
    source.close()
    thread.join(20)
    assert waiting == [None]


def test_the_next_camera_is_opened_when_one_fails(tmp_path: Path) -> None:
    path = film(tmp_path / "plain.mp4", "libx264", frames=3)
    source = LiveSource(
        lambda _: FFmpegInput(str(tmp_path / "no.avi"), None, {}), lambda _: FFmpegInput(str(path), None, {})
    )
    assert number_of(take(source).picture) in range(3)
    source.close()


def test_a_camera_is_reopened_for_larger_pictures(tmp_path: Path) -> None:
    """For example a webcam whose mode was chosen while the device was hot."""
    films = {side: film(tmp_path / f"{side}.avi", "mjpeg", size=Size(side, side // 2)) for side in (320, 640)}
    opened: list[int] = []

    def camera(current: CameraLimits) -> FFmpegInput:
        opened.append(current.max_side)
        return FFmpegInput(str(films[current.max_side]), None, {})

    source = LiveSource(camera, sized=True, reopen_after_s=0.01)
    assert picture_of(take(source, limits(320)).picture).size.width == 320
    deadline_s = time.monotonic() + 20
    while picture_of(take(source, limits(640)).picture).size.width != 640:
        assert time.monotonic() < deadline_s
    assert set(opened) == {320, 640}
    source.close()


def test_a_webcam_is_opened_for_jpeg_in_the_requested_size() -> None:
    assert pyav.webcam("/dev/video0", limits(640)) == FFmpegInput(
        "/dev/video0", "v4l2", {"video_size": "640x360", "input_format": "mjpeg"}
    )
    assert pyav.webcam("/dev/video0", limits(320), form=None).options == {"video_size": "320x180"}


def test_the_capture_time_is_the_time_stamp_of_a_monotonic_driver() -> None:
    assert shutter_s(99.95, now_s=100.0) == 99.95
    assert shutter_s(0.2, now_s=100.0) == 100.0  # relative to the start of the stream
    assert shutter_s(1.7e9, now_s=100.0) == 100.0  # seconds since 1970
    assert shutter_s(None, now_s=100.0) == 100.0
