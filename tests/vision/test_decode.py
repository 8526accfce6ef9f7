"""Images of all formats are decoded as drawn, at full and reduced size."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from appliance.errors import BadFrame
from appliance.values import Size
from appliance.vision import decode, letterbox
from tests.vision import pictures
from tests.vision.decoding import MAX_PIXELS, check_decoding, decoded, difference, loaded, peak_memory

GREYISH = (0.299, 0.587, 0.114)


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
    pixels = decoded(pictures.encode(pictures.image("L"), format_, quality=95))
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
    assert difference(decoded(data), np.asarray(drawn.convert("RGB"))) == 0


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_lossy_webp_is_decoded_as_drawn(mode: str) -> None:
    assert difference(decoded(pictures.encode(pictures.image(mode), "WEBP", quality=95)), pictures.drawing()) < 4


def test_transparency_is_ignored() -> None:
    see_through = pictures.image("RGBA")
    see_through.putalpha(0)
    assert difference(decoded(pictures.encode(see_through, "PNG")), pictures.drawing()) == 0


def test_the_upper_8_of_16_bits_a_pixel_are_kept() -> None:
    pixels = decoded(pictures.grey_16_bits())
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


def test_a_refusal_says_nothing_about_the_memory_of_the_decoding_process() -> None:
    data = pictures.encode(pictures.image(), "PNG")
    picture = decode.read_header(data[:28] + b"\x01" + data[29:], MAX_PIXELS)  # the checksum of IHDR is wrong now
    with pytest.raises(BadFrame, match=r"damaged PNG image: no valid header$"):
        decode.decode(picture)


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
    assert peak_memory(lambda: decode.decode(picture)) >= 4000 * 3000 * 3
    assert peak_memory(lambda: decode.load(picture, place)) < 4000 * 3000 * 3 / 4


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(("JPEG", "PNG", "WEBP")))
@settings(max_examples=60, deadline=None)
def test_an_image_of_any_size_is_read_at_its_size(width: int, height: int, format_: str) -> None:
    data = pictures.encode(pictures.image(width=width, height=height), format_)
    assert decode.read_header(data, MAX_PIXELS).size == Size(width, height)
    check_decoding(data)
    assert decoded(data).shape == (height, width, 3)


def test_an_encoded_image_is_decoded_again() -> None:
    turned = np.asfortranarray(pictures.drawing())
    assert difference(decoded(decode.encode_jpeg(turned, 95)), pictures.drawing()) < 3
    assert len(decode.encode_jpeg(turned, 40)) < len(decode.encode_jpeg(turned, 95))
