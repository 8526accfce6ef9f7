"""Pictures are converted to the requested form with minimal work."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.camera.sources import jpeg
from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import decode, encode_jpeg
from tests.camera.films import limits, picture_of

STREET = scene.draw(Size(1280, 720))[0]


@pytest.mark.parametrize(("max_side", "expected"), [(1280, 1280), (640, 1280), (639, 639 // 2 * 2), (320, 320)])
def test_a_jpeg_is_unchanged_up_to_twice_the_requested_size(max_side: int, expected: int) -> None:
    data = encode_jpeg(STREET, 80)
    sent = jpeg.fit(data, limits(max_side))
    assert abs(picture_of(sent).size.width - expected) <= 2
    assert (sent is data) == (expected == 1280)


def test_invalid_pictures_are_left_for_the_device_to_report() -> None:
    assert jpeg.fit(b"not a picture", limits()) == b"not a picture"
    cut_off = encode_jpeg(STREET, 80)[:5000]
    assert jpeg.fit(cut_off, limits(64)) is cut_off


@given(width=st.integers(2, 8000), height=st.integers(2, 8000), max_side=st.integers(16, 8000))
def test_a_scaled_size_is_even_within_the_limit_and_keeps_the_aspect_ratio(
    width: int, height: int, max_side: int
) -> None:
    size = jpeg.scaled(Size(width, height), max_side)
    part = min(1.0, max_side / max(width, height))
    assert size.width % 2 == size.height % 2 == 0
    assert abs(size.width - width * part) <= 2
    assert abs(size.height - height * part) <= 2


@pytest.mark.parametrize(("form", "colour_range"), [("yuv420p", "MPEG"), ("yuvj420p", "JPEG"), ("yuyv422", "MPEG")])
def test_a_decoded_frame_keeps_its_colours_in_any_format(form: str, colour_range: str) -> None:
    source = av.VideoFrame.from_ndarray(STREET, format="rgb24")
    frame = source.reformat(format=form, dst_color_range=colour_range)
    sent = decode(picture_of(jpeg.of_frame(frame, limits(1280, jpeg_quality=95)))).astype(int)
    assert np.abs(sent - STREET).mean() < 3.0


def test_a_decoded_frame_is_scaled_to_the_requested_size() -> None:
    frame = av.VideoFrame.from_ndarray(STREET, format="rgb24").reformat(format="yuv420p")
    assert picture_of(jpeg.of_frame(frame, limits(640))).size == Size(640, 360)
    assert picture_of(jpeg.of_frame(frame, limits(4000))).size == Size(1280, 720)


@pytest.mark.parametrize("padding", [0, 64])
def test_planes_in_the_layout_of_libcamera_are_encoded(padding: int) -> None:
    frame = av.VideoFrame.from_ndarray(STREET, format="rgb24").reformat(format="yuvj420p", dst_color_range="JPEG")
    width, height = 1280, 720
    stride = width + padding
    buffer = np.zeros(stride * height * 3 // 2, np.uint8)
    offset = 0
    for plane, (rows, columns, step) in zip(
        frame.planes, ((height, width, stride), *[(height // 2, width // 2, stride // 2)] * 2), strict=True
    ):
        pixels = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:rows, :columns]
        buffer[offset : offset + rows * step].reshape(rows, step)[:, :columns] = pixels
        offset += rows * step
    sent = decode(picture_of(jpeg.of_yuv420(buffer.reshape(height * 3 // 2, stride), Size(width, height), 95)))
    assert np.abs(sent.astype(int) - STREET).mean() < 3.0


def test_the_device_decodes_a_jpeg_without_huffman_tables() -> None:
    """Motion JPEG omits the tables, and the agent sends such pictures unchanged."""
    whole = encode_jpeg(STREET, 80)
    bare, at = whole[:2], 2
    while whole[at + 1] != 0xDA:
        length = int.from_bytes(whole[at + 2 : at + 4], "big") + 2
        bare += b"" if whole[at + 1] == 0xC4 else whole[at : at + length]
        at += length
    bare += whole[at:]
    assert len(bare) < len(whole) - 400
    assert np.array_equal(decode(picture_of(bare)), decode(picture_of(whole)))
