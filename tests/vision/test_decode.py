"""Images of all formats are decoded as drawn; damaged ones and decompression bombs raise BadFrame."""

from __future__ import annotations

import dataclasses
import io
import tracemalloc
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from appliance.errors import BadFrame
from appliance.values import Size
from appliance.vision import decode, letterbox
from tests.vision import pictures

MAX_PIXELS = 300_000
CODES = {"image_unsupported", "image_corrupt", "image_too_large"}
GREYISH = (0.299, 0.587, 0.114)


def seen(data: bytes) -> NDArray[np.uint8]:
    return decode.decode(decode.read_header(data, MAX_PIXELS))


def refused(data: bytes, max_pixels: int = MAX_PIXELS) -> str:
    """The error code for an image, from its header or its pixels."""
    with pytest.raises(BadFrame) as caught:
        decode.decode(decode.read_header(data, max_pixels))
    return caught.value.code


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def loaded(data: bytes, side: int) -> tuple[letterbox.Letterbox, NDArray[np.uint8]]:
    picture = decode.read_header(data, 100_000_000)
    place = letterbox.fit(picture.size, letterbox.input_size(picture.size, side, 32))
    return place, decode.load(picture, place)


def most_memory(act: Callable[[], object]) -> int:
    """Peak memory of NumPy and Python in the meantime."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_a_colour_jpeg_is_decoded_as_drawn(subsampling: int, progressive: bool) -> None:
    data = pictures.encode(
        pictures.image(), "JPEG", quality=95, subsampling=subsampling, progressive=progressive, optimize=True
    )
    picture = decode.read_header(data, MAX_PIXELS)
    assert (picture.format, picture.size, picture.plain_jpeg) == ("jpeg", Size(64, 48), True)
    assert difference(decode.decode(picture), pictures.drawing()) < 3


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_grey_image_becomes_three_equal_channels(format_: str) -> None:
    pixels = seen(pictures.encode(pictures.image("L"), format_, quality=95))
    assert (pixels[:, :, 0] == pixels[:, :, 1]).all()
    assert (pixels[:, :, 0] == pixels[:, :, 2]).all()
    grey = (pictures.drawing() @ GREYISH).astype(np.uint8)
    assert np.abs(pixels[:, :, 0].astype(int) - grey.astype(int)).mean() < 3


def test_a_cmyk_jpeg_is_decoded_as_by_pillow() -> None:
    data = pictures.encode(pictures.image("CMYK"), "JPEG", quality=95)
    picture = decode.read_header(data, MAX_PIXELS)
    assert not picture.plain_jpeg
    assert difference(decode.decode(picture), pictures.drawing()) < 4


@pytest.mark.parametrize(
    ("format_", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": bytes(range(200))}),
        ("PNG", "1", {}),
        ("PNG", "LA", {}),
        ("PNG", "RGB", {"transparency": (0, 0, 160)}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"lossless": True}),
    ],
)
def test_a_lossless_image_keeps_every_pixel(format_: str, mode: str, options: dict[str, object]) -> None:
    drawn = pictures.image(mode)
    data = pictures.encode(drawn, format_, **options)
    assert difference(seen(data), np.asarray(drawn.convert("RGB"))) == 0


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_lossy_webp_is_decoded_as_drawn(mode: str) -> None:
    assert difference(seen(pictures.encode(pictures.image(mode), "WEBP", quality=95)), pictures.drawing()) < 4


def test_transparency_is_ignored() -> None:
    see_through = pictures.image("RGBA")
    see_through.putalpha(0)
    assert difference(seen(pictures.encode(see_through, "PNG")), pictures.drawing()) == 0


def test_the_upper_8_of_16_bits_a_pixel_are_kept() -> None:
    pixels = seen(pictures.grey_16_bits())
    assert (pixels[:, :, 1] == pictures.drawing()[:, :, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format_", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("WEBP", "RGB"), ("PNG", "1")]
)
def test_the_exif_orientation_is_applied_as_by_pillow(format_: str, mode: str, orientation: int) -> None:
    data = pictures.turned(orientation, format_, mode)
    with Image.open(io.BytesIO(data)) as raw:
        expected = np.asarray(ImageOps.exif_transpose(raw).convert("RGB"))
    picture = decode.read_header(data, MAX_PIXELS)
    assert (picture.size.height, picture.size.width) == expected.shape[:2]
    assert difference(decode.decode(picture), expected) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_the_exif_orientation_is_applied_to_the_network_input(format_: str, orientation: int) -> None:
    data = pictures.turned(orientation, format_, width=320, height=200)
    with Image.open(io.BytesIO(data)) as raw:
        upright = np.asarray(ImageOps.exif_transpose(raw).convert("RGB"))
    place, tensor = loaded(data, 96)
    window = tensor[place.top : place.top + place.inner.height, place.left : place.left + place.inner.width]
    expected = cv2.resize(upright, (place.inner.width, place.inner.height), interpolation=cv2.INTER_AREA)
    assert difference(window, np.asarray(expected, np.uint8)) < 4


@pytest.mark.parametrize(
    "note", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0"]
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns about damaged EXIF
def test_damaged_exif_does_not_make_an_image_invalid(note: bytes) -> None:
    data = pictures.encode(pictures.image(), "JPEG", quality=95, exif=b"Exif\0\0" + note)
    picture = decode.read_header(data, MAX_PIXELS)
    assert picture.orientation == 1
    assert difference(decode.decode(picture), pictures.drawing()) < 3


@pytest.mark.parametrize("value", [0, 9, 4242])
def test_an_invalid_orientation_is_treated_as_upright(value: int) -> None:
    assert decode.read_header(pictures.turned(value, "JPEG"), MAX_PIXELS).size == Size(64, 48)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (333, 1000), (64, 48), (640, 384), (40, 500)])
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_the_network_input_is_the_scaled_image_on_grey(width: int, height: int, format_: str) -> None:
    drawn = pictures.drawing(width, height)
    place, tensor = loaded(pictures.encode(Image.fromarray(drawn), format_, quality=95), 320)
    assert tensor.shape == (place.outer.height, place.outer.width, 3)
    assert tensor.dtype == np.uint8
    assert tensor.flags.c_contiguous
    rows = slice(place.top, place.top + place.inner.height)
    columns = slice(place.left, place.left + place.inner.width)
    expected = cv2.resize(drawn, (place.inner.width, place.inner.height), interpolation=cv2.INTER_LINEAR)
    assert difference(tensor[rows, columns], np.asarray(expected, np.uint8)) < 5
    border = np.ones(tensor.shape[:2], bool)
    border[rows, columns] = False
    assert (tensor[border] == letterbox.GREY).all()


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_large_jpeg_is_decoded_at_reduced_size(mode: str) -> None:
    data = pictures.encode(pictures.image(mode, 4000, 3000), "JPEG")
    picture = decode.read_header(data, 100_000_000)
    place = letterbox.fit(picture.size, letterbox.input_size(picture.size, 640, 32))
    assert most_memory(lambda: decode.decode(picture)) >= 4000 * 3000 * 3
    assert most_memory(lambda: decode.load(picture, place)) < 4000 * 3000 * 3 / 4


@pytest.mark.parametrize("data", pictures.corpus(), ids=lambda data: f"{len(data)} bytes")
def test_a_truncated_image_is_an_error(data: bytes) -> None:
    for part in (0.7, 0.5):
        assert refused(data[: int(len(data) * part)]) == "image_corrupt"


@pytest.mark.parametrize("data", pictures.corpus(), ids=lambda data: f"{len(data)} bytes")
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_the_first_bytes_of_an_image_are_an_error(data: bytes) -> None:
    for length in range(12, 64):
        assert refused(data[:length]) == "image_corrupt"


@pytest.mark.parametrize("data", pictures.corpus(), ids=lambda data: f"{len(data)} bytes")
@pytest.mark.parametrize("junk", [b"\0" * 64, b"\xff" * 7, b"--frame\r\nContent-Type: image/jpeg\r\n"])
def test_trailing_bytes_are_tolerated(data: bytes, junk: bytes) -> None:
    assert (seen(data + junk) == seen(data)).all()


@pytest.mark.parametrize("stray", [b"\0", b"\0\0\0\0", b"\x12\x34\x56"])
def test_stray_bytes_before_the_end_of_a_jpeg_are_tolerated(stray: bytes) -> None:
    data = pictures.encode(pictures.image(), "JPEG", quality=95)
    spoiled = data[:-2] + stray + data[-2:]
    assert (seen(spoiled) == seen(data)).all()
    place, tensor = loaded(spoiled, 64)
    assert place.inner == Size(64, 48)
    assert difference(tensor[place.top : place.top + 48], pictures.drawing()) < 3


def test_a_truncated_jpeg_with_stray_bytes_is_an_error() -> None:
    data = pictures.encode(pictures.image(width=400, height=300), "JPEG", quality=95)
    tables = data.find(b"\xff\xdb")
    assert tables > 0
    assert refused(data[:tables] + b"\0\0" + data[tables : len(data) // 2]) == "image_corrupt"


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(50), b"BM" + bytes(60), b"II*\0" + bytes(40), b"<svg/>", b"\xff\xd8"]
)
def test_other_formats_are_rejected(data: bytes) -> None:
    assert refused(data) == "image_unsupported"


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(pictures.jpeg_header(30_000, 30_000), id="jpeg"),
        pytest.param(pictures.jpeg_header(30_000, 30_000, progressive=True), id="progressive jpeg"),
        pytest.param(pictures.png_header(30_000, 30_000), id="png"),
        pytest.param(pictures.webp_header(30_000, 30_000), id="webp"),
        pytest.param(pictures.WHOLE_WEBP_BOMB, id="whole webp"),
        pytest.param(pictures.png_header(2_000_000_000, 1), id="long png"),
    ],
)
def test_a_decompression_bomb_is_rejected_by_its_header(bomb: bytes) -> None:
    assert len(bomb) < 3_000
    with pytest.raises(BadFrame, match=r"flow\.max_pixels") as caught:
        decode.read_header(bomb, 40_000_000)
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_the_pixel_limit_is_inclusive(format_: str) -> None:
    data = pictures.encode(pictures.image(), format_)
    assert decode.read_header(data, 64 * 48).size == Size(64, 48)
    assert refused(data, 64 * 48 - 1) == "image_too_large"


def test_a_jpeg_with_very_many_scans_is_rejected() -> None:
    data = pictures.encode(pictures.image(), "JPEG", progressive=True)
    last_scan = data[data.rfind(b"\xff\xda") : -2]
    with pytest.raises(BadFrame, match="scans") as caught:
        decode.read_header(data[:-2] + last_scan * 200 + data[-2:], MAX_PIXELS)
    assert caught.value.code == "image_corrupt"


@pytest.mark.parametrize("data", [pictures.jpeg_header(0, 48), pictures.png_header(0, 5), pictures.jpeg_header(64, 0)])
def test_an_image_with_a_zero_side_is_rejected(data: bytes) -> None:
    assert refused(data) == "image_corrupt"


def only_bad_frame(data: bytes) -> None:
    """Check that any input gives an image of the size in its header, or a BadFrame with a documented code."""
    try:
        picture = decode.read_header(data, MAX_PIXELS)
        place = letterbox.fit(picture.size, letterbox.input_size(picture.size, 64, 32))
        assert decode.load(picture, place).shape == (place.outer.height, place.outer.width, 3)
        assert decode.decode(picture).shape == (picture.size.height, picture.size.width, 3)
    except BadFrame as error:
        code = error.code
    else:
        return
    assert code in CODES


BEGINNINGS = (
    b"",
    b"\xff\xd8\xff",
    b"\xff\xd8\xff\xc0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFFxxxxWEBPVP8X",
)
CORPUS = pictures.corpus()


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_random_bytes_raise_only_bad_frame(beginning: bytes, rest: bytes) -> None:
    only_bad_frame(beginning + rest)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid file with bytes flipped, removed, inserted, or copied from another file."""
    data = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)) | st.integers(0, min(200, len(data))))
        act = draw(st.sampled_from(("flip", "cut", "drop", "insert", "splice")))
        if act == "flip":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif act == "cut":
            del data[at:]
        elif act == "drop":
            del data[at : at + draw(st.integers(1, 30))]
        elif act == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            other = draw(st.sampled_from(CORPUS))
            start = draw(st.integers(0, len(other) - 1))
            data[at : at + draw(st.integers(0, 20))] = other[start : start + draw(st.integers(1, 100))]
    return bytes(data)


@given(damaged())
@settings(max_examples=600, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_images_raise_only_bad_frame(data: bytes) -> None:
    only_bad_frame(data)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(("JPEG", "PNG", "WEBP")))
@settings(max_examples=60, deadline=None)
def test_an_image_of_any_size_is_read_at_its_size(width: int, height: int, format_: str) -> None:
    data = pictures.encode(pictures.image(width=width, height=height), format_)
    assert decode.read_header(data, MAX_PIXELS).size == Size(width, height)
    only_bad_frame(data)
    assert seen(data).shape == (height, width, 3)


def test_an_encoded_image_is_decoded_again() -> None:
    turned = np.asfortranarray(pictures.drawing())
    assert difference(seen(decode.encode_jpeg(turned, 95)), pictures.drawing()) < 3
    assert len(decode.encode_jpeg(turned, 40)) < len(decode.encode_jpeg(turned, 95))


@pytest.mark.parametrize(("format_", "options"), [("JPEG", {}), ("JPEG", {"progressive": True})])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("after", [b"", b"\0\0\0\0"])
def test_a_jpeg_without_an_end_marker_is_decoded_when_all_rows_are_present(
    format_: str, options: dict[str, object], mode: str, after: bytes
) -> None:
    data = pictures.encode(pictures.image(mode, 640, 400), format_, quality=95, **options)
    whole = decode.decode(decode.read_header(data, MAX_PIXELS))
    assert (decode.decode(decode.read_header(data[:-2] + after, MAX_PIXELS)) == whole).all()
    for missing in (20, 200, len(data) // 2):
        assert refused(data[:-missing]) == "image_corrupt"


def test_the_end_marker_of_a_thumbnail_does_not_count() -> None:
    data = pictures.encode(pictures.image(width=640, height=400), "JPEG", quality=95)
    thumbnail = pictures.jpeg_segment(0xE1, b"Exif\0\0" + pictures.exif(1) + pictures.encode(pictures.image(), "JPEG"))
    data = data[:2] + thumbnail + data[2:-2]
    assert difference(seen(data), pictures.drawing(640, 400)) < 3


def test_a_damaged_colour_profile_does_not_make_an_image_invalid() -> None:
    data = pictures.encode(pictures.image(), "JPEG", quality=95)
    spoiled = data[:2] + pictures.jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes(500)) + data[2:]
    assert (seen(spoiled) == seen(data)).all()
    assert refused(spoiled[:-200]) == "image_corrupt"


@pytest.mark.parametrize("samplings", ["211111", "141111", "212111"])
def test_a_jpeg_of_rare_subsampling_is_decoded_within_the_predicted_memory(samplings: str) -> None:
    """No available encoder writes these: three full-size components with other sampling factors in the header."""
    data = bytearray(pictures.encode(pictures.image("RGB"), "JPEG", subsampling=0))
    at = data.find(b"\xff\xc0") + 11
    for number in range(3):
        data[at + 3 * number] = int(samplings[2 * number : 2 * number + 2], 16)
    picture = decode.read_header(bytes(data) + b"\xff\xd9", MAX_PIXELS)
    assert (picture.held_bytes > 0) == (samplings != "211111")
    only_bad_frame(bytes(data))


def test_contradictory_headers_allocate_nothing() -> None:
    """A decoder that reads a different header than ours must not choose the size."""
    picture = decode.read_header(pictures.encode(pictures.image(), "JPEG"), MAX_PIXELS)
    for format_ in ("JPEG", "PNG", "WEBP"):
        data = pictures.encode(pictures.image(width=100), format_)
        other = dataclasses.replace(decode.read_header(data, MAX_PIXELS), size=picture.size)
        with pytest.raises(BadFrame) as caught:
            decode.decode(other)
        assert caught.value.code == "image_corrupt"


def test_opencv_prints_nothing_for_a_tiny_or_damaged_webp(capfd: pytest.CaptureFixture[str]) -> None:
    data = pictures.encode(pictures.image(width=1, height=1), "WEBP", lossless=True)
    assert seen(data).shape == (1, 1, 3)
    for at in range(20, len(data)):
        only_bad_frame(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    assert capfd.readouterr().err == ""
