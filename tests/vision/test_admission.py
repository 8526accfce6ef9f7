"""An image is decoded when there is enough memory, and large ones one at a time."""

from __future__ import annotations

import threading
from dataclasses import replace

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


def is_admitted(admission: Admission, image: Picture) -> bool:
    try:
        with admission.admitted(image, SMALL):
            return True
    except BadFrame:
        return False


def test_a_large_image_is_decoded_when_memory_suffices() -> None:
    assert is_admitted(Admission(lambda: 150 * MB), picture())


def test_an_image_that_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(BadFrame, match=r"takes 60 MB .* only 20 MB is available; .* baseline JPEG") as caught:  # noqa: SIM117
        with Admission(lambda: 80 * MB).admitted(picture(), SMALL):
            pass
    assert caught.value.code == "image_too_large"


def test_no_image_may_take_more_than_200_mb_however_much_is_free() -> None:
    huge = replace(picture("WEBP", 64, 64), size=Size(6320, 6320), held_bytes=6 * 6320 * 6320)
    with pytest.raises(BadFrame, match=r"at most 200 MB may be used for one image; .* baseline JPEG") as caught:  # noqa: SIM117
        with Admission().admitted(huge, SMALL):
            pass
    assert caught.value.code == "image_too_large"


def test_a_refusal_or_an_error_does_not_block_the_next_image() -> None:
    rooms = iter((10 * MB, 500 * MB, 500 * MB))
    admission = Admission(lambda: next(rooms))
    with pytest.raises(BadFrame), admission.admitted(picture(), SMALL):
        pass
    with pytest.raises(ZeroDivisionError), admission.admitted(picture(), SMALL):
        raise ZeroDivisionError
    with admission.admitted(picture(), SMALL):
        pass


def test_nothing_is_refused_when_free_memory_is_unknown() -> None:
    assert is_admitted(Admission(), picture())


def test_memory_is_not_read_for_a_usual_camera_image() -> None:
    def never() -> int:
        raise AssertionError("read")

    assert is_admitted(Admission(never), picture("JPEG"))
    assert is_admitted(Admission(never), picture("PNG", 640, 480))


def test_a_camera_jpeg_decoded_at_full_size_is_checked_too() -> None:
    one = picture("JPEG")
    with pytest.raises(BadFrame), Admission(lambda: 50 * MB).admitted(one, one.size):
        pass


def test_medium_images_need_memory_but_do_not_wait_for_each_other() -> None:
    half = picture("PNG", 1920, 1080)
    admission = Admission(lambda: 100 * MB)
    with admission.admitted(half, SMALL), admission.admitted(half, SMALL):
        pass
    with pytest.raises(BadFrame), Admission(lambda: 25 * MB).admitted(half, SMALL):
        pass


def test_large_images_are_decoded_one_at_a_time() -> None:
    admission, large = Admission(lambda: 500 * MB), picture()
    started, done = threading.Event(), threading.Event()

    def second() -> None:
        started.set()
        with admission.admitted(large, SMALL):
            done.set()

    thread = threading.Thread(target=second)
    with admission.admitted(large, SMALL):
        thread.start()
        assert started.wait(5)
        assert not done.wait(0.05)
        with admission.admitted(picture("JPEG"), SMALL):  # smaller images continue
            pass
    assert done.wait(5)
    thread.join(5)
