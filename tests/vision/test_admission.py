"""A picture is decoded when memory suffices, and large ones one after another."""

from __future__ import annotations

import threading

import pytest
from PIL import Image

from appliance.errors import BadFrame
from appliance.values import Picture, Size
from appliance.vision.admission import Admission
from appliance.vision.header import read_header
from tests.vision import pictures

SMALL = Size(640, 480)
MB = 1_000_000


def picture(format_: str = "PNG", width: int = 4000, height: int = 3000) -> Picture:
    return read_header(pictures.encode(Image.new("RGB", (width, height)), format_), 40_000_000)


def test_a_large_picture_is_decoded_where_there_is_room() -> None:
    with Admission(lambda: 150 * MB).admitted(picture(), SMALL):
        pass


def test_one_that_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(BadFrame, match=r"takes 60 MB .* 20 MB can be used .* baseline JPEG") as caught:  # noqa: SIM117
        with Admission(lambda: 80 * MB).admitted(picture(), SMALL):
            pass
    assert caught.value.code == "image_too_large"


def test_after_a_refusal_and_after_an_error_the_next_one_has_its_turn() -> None:
    rooms = iter((10 * MB, 500 * MB, 500 * MB))
    admission = Admission(lambda: next(rooms))
    with pytest.raises(BadFrame), admission.admitted(picture(), SMALL):
        pass
    with pytest.raises(ZeroDivisionError), admission.admitted(picture(), SMALL):
        raise ZeroDivisionError
    with admission.admitted(picture(), SMALL):
        pass


def test_room_that_is_unknown_refuses_nothing() -> None:
    with Admission().admitted(picture(), SMALL):
        pass


def test_the_memory_is_not_even_read_for_what_cameras_send() -> None:
    def never() -> int:
        raise AssertionError("read")

    with Admission(never).admitted(picture("JPEG"), SMALL), Admission(never).admitted(picture("PNG", 640, 480), SMALL):
        pass


def test_at_its_own_size_a_camera_jpeg_counts_too() -> None:
    one = picture("JPEG")
    with pytest.raises(BadFrame), Admission(lambda: 50 * MB).admitted(one, one.size):
        pass


def test_half_large_ones_need_room_too_but_wait_for_nobody() -> None:
    half = picture("PNG", 1920, 1080)
    admission = Admission(lambda: 100 * MB)
    with admission.admitted(half, SMALL), admission.admitted(half, SMALL):
        pass
    with pytest.raises(BadFrame), Admission(lambda: 25 * MB).admitted(half, SMALL):
        pass


def test_large_pictures_are_decoded_one_at_a_time() -> None:
    admission, large = Admission(lambda: 500 * MB), picture()
    begun, done = threading.Event(), threading.Event()

    def second() -> None:
        begun.set()
        with admission.admitted(large, SMALL):
            done.set()

    thread = threading.Thread(target=second)
    with admission.admitted(large, SMALL):
        thread.start()
        assert begun.wait(5)
        assert not done.wait(0.05)
        with admission.admitted(picture("JPEG"), SMALL):  # others go on
            pass
    assert done.wait(5)
    thread.join(5)
