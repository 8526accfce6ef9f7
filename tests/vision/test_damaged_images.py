"""Truncated, damaged and malicious images raise BadFrame; common camera faults are tolerated."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadFrame
from appliance.values import Size
from appliance.vision import decode
from tests.vision import pictures
from tests.vision.decoding import MAX_PIXELS, check_decoding, decoded, difference, error_code, loaded


@pytest.mark.parametrize("data", pictures.corpus(), ids=lambda data: f"{len(data)} bytes")
def test_a_truncated_image_is_an_error(data: bytes) -> None:
    for part in (0.7, 0.5):
        assert error_code(data[: int(len(data) * part)]) == "image_corrupt"


@pytest.mark.parametrize("data", pictures.corpus(), ids=lambda data: f"{len(data)} bytes")
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_the_first_bytes_of_an_image_are_an_error(data: bytes) -> None:
    for length in range(12, 64):
        assert error_code(data[:length]) == "image_corrupt"


@pytest.mark.parametrize("data", pictures.corpus(), ids=lambda data: f"{len(data)} bytes")
@pytest.mark.parametrize("junk", [b"\0" * 64, b"\xff" * 7, b"--frame\r\nContent-Type: image/jpeg\r\n"])
def test_trailing_bytes_are_tolerated(data: bytes, junk: bytes) -> None:
    assert (decoded(data + junk) == decoded(data)).all()


@pytest.mark.parametrize("stray", [b"\0", b"\0\0\0\0", b"\x12\x34\x56"])
def test_stray_bytes_before_the_end_of_a_jpeg_are_tolerated(stray: bytes) -> None:
    data = pictures.encode(pictures.image(), "JPEG", quality=95)
    spoiled = data[:-2] + stray + data[-2:]
    assert (decoded(spoiled) == decoded(data)).all()
    place, tensor = loaded(spoiled, 64)
    assert place.inner == Size(64, 48)
    assert difference(tensor[place.top : place.top + 48], pictures.drawing()) < 3


def test_a_truncated_jpeg_with_stray_bytes_is_an_error() -> None:
    data = pictures.encode(pictures.image(width=400, height=300), "JPEG", quality=95)
    tables = data.find(b"\xff\xdb")
    assert tables > 0
    assert error_code(data[:tables] + b"\0\0" + data[tables : len(data) // 2]) == "image_corrupt"


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(50), b"BM" + bytes(60), b"II*\0" + bytes(40), b"<svg/>", b"\xff\xd8"]
)
def test_other_formats_are_rejected(data: bytes) -> None:
    assert error_code(data) == "image_unsupported"


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
    assert error_code(data, 64 * 48 - 1) == "image_too_large"


def test_a_jpeg_with_very_many_scans_is_rejected() -> None:
    data = pictures.encode(pictures.image(), "JPEG", progressive=True)
    last_scan = data[data.rfind(b"\xff\xda") : -2]
    with pytest.raises(BadFrame, match="scans") as caught:
        decode.read_header(data[:-2] + last_scan * 200 + data[-2:], MAX_PIXELS)
    assert caught.value.code == "image_corrupt"


@pytest.mark.parametrize("data", [pictures.jpeg_header(0, 48), pictures.png_header(0, 5), pictures.jpeg_header(64, 0)])
def test_an_image_with_a_zero_side_is_rejected(data: bytes) -> None:
    assert error_code(data) == "image_corrupt"


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
def test_random_bytes_raise_check_decoding(beginning: bytes, rest: bytes) -> None:
    check_decoding(beginning + rest)


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
def test_damaged_images_raise_check_decoding(data: bytes) -> None:
    check_decoding(data)


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
        assert error_code(data[:-missing]) == "image_corrupt"


def test_the_end_marker_of_a_thumbnail_does_not_count() -> None:
    data = pictures.encode(pictures.image(width=640, height=400), "JPEG", quality=95)
    thumbnail = pictures.jpeg_segment(0xE1, b"Exif\0\0" + pictures.exif(1) + pictures.encode(pictures.image(), "JPEG"))
    data = data[:2] + thumbnail + data[2:-2]
    assert difference(decoded(data), pictures.drawing(640, 400)) < 3


def test_a_damaged_colour_profile_does_not_make_an_image_invalid() -> None:
    data = pictures.encode(pictures.image(), "JPEG", quality=95)
    spoiled = data[:2] + pictures.jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes(500)) + data[2:]
    assert (decoded(spoiled) == decoded(data)).all()
    assert error_code(spoiled[:-200]) == "image_corrupt"


@pytest.mark.parametrize("samplings", ["211111", "141111", "212111"])
def test_a_jpeg_of_rare_subsampling_is_decoded_within_the_predicted_memory(samplings: str) -> None:
    """No available encoder writes these: three full-size components with other sampling factors in the header."""
    data = bytearray(pictures.encode(pictures.image("RGB"), "JPEG", subsampling=0))
    at = data.find(b"\xff\xc0") + 11
    for number in range(3):
        data[at + 3 * number] = int(samplings[2 * number : 2 * number + 2], 16)
    picture = decode.read_header(bytes(data) + b"\xff\xd9", MAX_PIXELS)
    assert (picture.held_bytes > 0) == (samplings != "211111")
    check_decoding(bytes(data))


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
    assert decoded(data).shape == (1, 1, 3)
    for at in range(20, len(data)):
        check_decoding(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    assert capfd.readouterr().err == ""
