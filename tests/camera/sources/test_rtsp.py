"""RTSP cameras, with GStreamer's server, which many cameras use."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.camera.sources import open_source, pyav
from appliance.camera.sources.live import LiveSource
from appliance.errors import SourceError
from appliance.values import Size
from tests.camera.films import film, limits, number_of, picture_of

PYTHON = "/usr/bin/python3"
JPEG = ("( videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=25/1 "
        "! jpegenc ! rtpjpegpay name=pay0 )")  # fmt: skip


@contextmanager
def camera(launch: str, *options: str) -> Iterator[str]:
    """Run a camera with this GStreamer pipeline; yield its URL."""
    program = str(Path(__file__).with_name("rtsp_server.py"))
    try:
        process = subprocess.Popen(
            [PYTHON, program, launch, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        pytest.skip(f"{PYTHON} not found, which runs GStreamer's RTSP server: {error}")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            packages = "gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-good"
            pytest.skip(f"no RTSP server ({packages}): {process.stderr.read()[-200:]}")
        yield url
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def pictures(source: LiveSource, count: int) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(10 * count):
        capture = source.take(limits())
        if capture is not None:
            found.append(capture.picture)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} pictures arrived")


def street(path: Path, key_every: int | None = None) -> str:
    """A pipeline for a minute of H.264 video."""
    film(path, "libx264", frames=600, fps=10, key_every=key_every)
    return f"( filesrc location={path} ! qtdemux ! rtph264pay name=pay0 config-interval=1 )"


def test_a_jpeg_stream_is_not_decoded() -> None:
    with camera(JPEG) as url:
        source = open_source(url)
        assert isinstance(source, LiveSource)
        for data in pictures(source, 5):
            assert picture_of(data).size == Size(640, 360)
            assert picture_of(data).format == "jpeg"
        source.close()


def test_an_h264_stream_is_decoded(tmp_path: Path) -> None:
    with camera(street(tmp_path / "street.mp4")) as url:
        source = open_source(url)
        assert isinstance(source, LiveSource)
        shown = [number_of(data) for data in pictures(source, 4)]
        assert set(shown) <= set(range(10))
        assert len(set(shown)) >= 3  # the video advances
        source.close()


def test_the_first_key_frame_is_enough_when_key_frames_are_rare(tmp_path: Path) -> None:
    with camera(street(tmp_path / "street.mp4", key_every=600)) as url:
        source = open_source(url)
        assert isinstance(source, LiveSource)
        assert number_of(pictures(source, 1)[0]) in range(10)
        source.close()


@pytest.mark.parametrize("transport", ["auto", "udp"])
def test_a_camera_with_only_udp_is_read_over_udp(transport: str) -> None:
    with camera(JPEG, "udp") as url:
        source = open_source(url, rtsp_transport=transport)
        assert isinstance(source, LiveSource)
        assert picture_of(pictures(source, 1)[0]).size == Size(640, 360)
        source.close()


def test_a_camera_with_only_udp_fails_over_tcp() -> None:
    with camera(JPEG, "udp") as url, pytest.raises(SourceError, match="rtsp://"):
        pyav.network(url, "tcp").open()
