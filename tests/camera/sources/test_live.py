"""A camera that goes on whether anybody looks or not: newest only, no decoding of JPEG, and it comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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

PICTURES = [encode_jpeg(scene.draw(Size(1280, 720), seed=number)[0], 80) for number in range(10)]


class NetworkCamera(ThreadingHTTPServer):
    """A camera of the kind that pushes JPEGs over HTTP (multipart/x-mixed-replace), as webcams and phones do.

    It shows a picture for each `show`, and `hang_up` ends all connections.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
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

    def come(self) -> int:
        """Somebody connects: where it begins to look."""
        with self._change:
            self.connections += 1
            ended = [number for number, picture in enumerate(self._shown) if picture is None]
            return ended[-1] + 1 if ended else 0


class _Handler(BaseHTTPRequestHandler):
    server: NetworkCamera

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = self.server.come()
        try:
            while (picture := self.server.wait_for(number)) is not None:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                number += 1
        except (OSError, AssertionError):
            return

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def camera() -> Iterator[NetworkCamera]:
    server = NetworkCamera()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.hang_up()
    server.shutdown()
    thread.join()
    server.server_close()


def take(source: LiveSource, asked: CameraLimits | None = None) -> Capture:
    for _ in range(10):
        capture = source.take(asked or limits())
        if capture is not None:
            return capture
    raise AssertionError("no picture came")


def until(source: LiveSource, picture: bytes) -> None:
    """Take pictures until it is this one."""
    while take(source).picture != picture:
        pass


def test_pictures_of_a_network_camera_are_passed_on_byte_for_byte(camera: NetworkCamera) -> None:
    source = open_source(camera.url)
    assert isinstance(source, LiveSource)
    camera.show(*PICTURES[:4])
    until(source, PICTURES[3])
    source.close()


def test_only_the_newest_picture_is_kept_and_none_is_given_twice(camera: NetworkCamera) -> None:
    source = LiveSource(lambda _: pyav.network(camera.url), patience_s=0.2)
    camera.show(*PICTURES[:5])
    until(source, PICTURES[4])
    assert source.take(limits()) is None
    camera.show(*PICTURES[5:])
    seen = [take(source)]
    while seen[-1].picture != PICTURES[9]:
        seen.append(take(source))
    assert [capture.taken_s for capture in seen] == sorted(capture.taken_s for capture in seen)
    assert len({capture.picture for capture in seen}) == len(seen)
    source.close()


def test_a_camera_that_goes_away_is_waited_for(camera: NetworkCamera, caplog: pytest.LogCaptureFixture) -> None:
    source = LiveSource(lambda _: pyav.network(camera.url), reopen_after_s=0.01)
    camera.show(*PICTURES[:3])
    until(source, PICTURES[2])
    camera.hang_up()
    camera.show(*PICTURES[5:8])
    until(source, PICTURES[7])
    assert camera.connections >= 2
    assert "opening it again" in caplog.text
    source.close()


def test_a_camera_that_was_never_there_is_an_error_that_hides_its_password() -> None:
    source = LiveSource(lambda _: pyav.network("http://admin:hunter2@127.0.0.1:9/"))
    with pytest.raises(SourceError, match=r"http://admin:\*\*\*@127\.0\.0\.1:9/: cannot be opened") as caught:
        take(source)
    assert caught.value.code == "source_unreadable"
    assert "hunter2" not in str(caught.value)
    source.close()


def test_who_waits_for_a_picture_is_woken_when_the_source_is_closed(camera: NetworkCamera) -> None:
    source = LiveSource(lambda _: pyav.network(camera.url), patience_s=60)
    waiting: list[Capture | None] = []
    thread = threading.Thread(target=lambda: waiting.append(source.take(limits())))
    thread.start()
    source.close()
    thread.join(20)
    assert waiting == [None]


def test_the_next_way_to_open_a_camera_is_tried_when_one_fails(tmp_path: Path) -> None:
    path = film(tmp_path / "plain.mp4", "libx264", frames=3)
    source = LiveSource(
        lambda _: FFmpegInput(str(tmp_path / "no.avi"), None, {}), lambda _: FFmpegInput(str(path), None, {})
    )
    assert number_of(take(source).picture) in range(3)
    source.close()


def test_a_camera_is_opened_again_when_larger_pictures_are_wanted(tmp_path: Path) -> None:
    """As a webcam would be, whose mode was chosen while the box was hot."""
    films = {side: film(tmp_path / f"{side}.avi", "mjpeg", size=Size(side, side // 2)) for side in (320, 640)}
    opened: list[int] = []

    def address(asked: CameraLimits) -> FFmpegInput:
        opened.append(asked.max_side)
        return FFmpegInput(str(films[asked.max_side]), None, {})

    source = LiveSource(address, sized=True, reopen_after_s=0.01)
    assert picture_of(take(source, limits(320)).picture).size.width == 320
    while picture_of(take(source, limits(640)).picture).size.width != 640:
        pass
    assert set(opened) == {320, 640}
    source.close()


def test_a_webcam_is_asked_for_jpegs_of_the_size_that_the_box_wants() -> None:
    assert pyav.webcam("/dev/video0", limits(640)) == FFmpegInput(
        "/dev/video0", "v4l2", {"video_size": "640x360", "input_format": "mjpeg"}
    )
    assert pyav.webcam("/dev/video0", limits(320), form=None).options == {"video_size": "320x180"}


def test_the_shutters_time_is_the_drivers_where_it_reads_our_clock() -> None:
    assert shutter_s(99.95, now_s=100.0) == 99.95
    assert shutter_s(0.2, now_s=100.0) == 100.0  # counted from the stream's start
    assert shutter_s(1.7e9, now_s=100.0) == 100.0  # seconds since 1970
    assert shutter_s(None, now_s=100.0) == 100.0
