"""The CSI camera, tested with Picamera2's real source but without a board."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from appliance.camera.sources.picamera import PicameraSource, whole_view
from appliance.values import Size
from tests.camera.films import limits, picture_of
from tests.camera.sources import picamera2_source
from tests.camera.sources.picamera2_source import MODES, Board
from tests.fakes import FakeClock


@pytest.fixture(scope="module")
def folder() -> Path:
    return picamera2_source.fetch()


def test_a_picture_has_the_requested_size_and_its_request_is_released(folder: Path) -> None:
    board = Board(folder, hardware=False)
    source = PicameraSource(library=board, clock=FakeClock(42.1))
    capture = source.take(limits(640))
    assert capture is not None
    assert picture_of(capture.picture).size == Size(640, 360)
    assert capture.taken_s == 42.0  # the sensor's time stamp
    assert board.held == 0
    assert board.config["raw"] is None  # no raw buffers in sensor resolution
    assert board.config["sensor"] == {"output_size": (2304, 1296), "bit_depth": 10}
    source.close()
    assert board.calls[-2:] == ["stop", "close"]


def test_new_limits_reconfigure_the_camera_before_the_next_picture(folder: Path) -> None:
    board = Board(folder, hardware=False)
    source = PicameraSource(library=board, clock=FakeClock(42.1))
    source.take(limits(640, min_interval_s=0.05))
    source.take(limits(640, min_interval_s=0.05))
    assert board.calls.count("configure") == 1
    assert board.config["controls"]["FrameDurationLimits"] == (50_000, 50_000)
    smaller = source.take(limits(320, min_interval_s=3.0))
    assert smaller is not None
    assert picture_of(smaller.picture).size == Size(320, 180)
    assert board.calls.count("configure") == 2
    assert board.config["controls"]["FrameDurationLimits"] == (100_000, 100_000)  # limited, to avoid motion blur


def test_a_wait_that_times_out_is_cancelled(folder: Path) -> None:
    board = Board(folder, hardware=False)
    source = PicameraSource(library=board)
    board.silent = True
    assert source.take(limits()) is None
    assert board.calls[-1] == "cancel_all_and_flush"


def test_the_hardware_encoder_is_used_if_the_board_has_one(folder: Path) -> None:
    board = Board(folder, hardware=True)
    source = PicameraSource(library=board, clock=FakeClock(42.1))
    capture = source.take(limits(640))
    assert capture is not None
    assert capture.picture == b"\xff\xd8 in hardware"
    assert (board.encoder.width, board.encoder.height, board.encoder.format) == (640, 360, "YUV420")
    assert board.encoder.stride == 704
    assert board.encoder.bitrate == 50_000_000 * 640 * 360 // (1920 * 1080)
    assert board.held == 0
    assert "make_array" not in board.calls
    assert board.encoder.running
    source.close()
    assert not board.encoder.running
    assert board.calls[-2:] == ["stop", "close"]


def test_the_encoder_restarts_for_another_size_or_quality(folder: Path) -> None:
    board = Board(folder, hardware=True)
    source = PicameraSource(library=board, clock=FakeClock(42.1))
    source.take(limits(640))
    first = board.encoder
    source.take(limits(320, jpeg_quality=30))
    assert not first.running
    assert (board.encoder.width, board.encoder.height) == (320, 180)
    assert board.encoder.bitrate == 16_000_000 * 320 * 180 // (1920 * 1080)
    source.close()


def test_the_imported_names_exist_in_the_real_package(folder: Path) -> None:
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {"Picamera2", "Platform", "get_platform"} <= imported
    assert "MJPEGEncoder" in (folder / "encoders" / "__init__.py").read_text(encoding="utf-8")
    assert "from .output import Output" in (folder / "outputs" / "__init__.py").read_text(encoding="utf-8")


def test_the_sensor_mode_has_the_full_field_of_view_and_is_large_enough() -> None:
    assert whole_view(MODES, Size(640, 360)) == {"output_size": (2304, 1296), "bit_depth": 10}
    assert whole_view(MODES, Size(2560, 1440)) == {"output_size": (4608, 2592), "bit_depth": 10}
    assert whole_view(MODES, Size(9000, 9000)) == {}
    assert whole_view([{"format": "MJPEG"}], Size(640, 360)) == {}
