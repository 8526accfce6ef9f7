"""Headers are read without decoding or inflating anything, and determine the memory for decoding."""

from __future__ import annotations

import io
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from appliance.errors import BadFrame
from appliance.values import LARGE_BYTES, Size
from appliance.vision.decode import decode, load, peak_bytes
from appliance.vision.header import read_header
from appliance.vision.letterbox import fit, input_size
from tests.vision import pictures

MAX_PIXELS = 40_000_000
FLAT = (640, 480)


def refusal(data: bytes, max_pixels: int = MAX_PIXELS) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        read_header(data, max_pixels)
    return caught.value


def test_compressed_text_of_a_png_is_never_inflated() -> None:
    data = pictures.png_of_notes(60)
    assert len(data) < 70_000
    tracemalloc.start()
    try:
        picture = read_header(data, MAX_PIXELS)
        assert tracemalloc.get_traced_memory()[1] < 20_000
        pixels = decode(picture)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert (pixels == pictures.drawing()).all()


@pytest.mark.parametrize("where", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt", b"eXIf", b"acTL", b"fdAT", b"prVt"])
def test_png_metadata_is_removed_before_decoding(kind: bytes, where: bytes) -> None:
    data = pictures.with_png_chunks(
        pictures.encode(pictures.image(), "PNG"), pictures.png_chunk(kind, b"\xff" * 99), before=where
    )
    assert (decode(read_header(data, MAX_PIXELS)) == pictures.drawing()).all()


def test_the_first_frame_of_an_animated_png_is_used() -> None:
    file = io.BytesIO()
    others = [Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")]
    pictures.image().save(file, "PNG", save_all=True, append_images=others)
    assert b"fdAT" in file.getvalue()
    assert (decode(read_header(file.getvalue(), MAX_PIXELS)) == pictures.drawing()).all()


def test_the_first_frame_of_an_animated_webp_is_used_without_extra_memory() -> None:
    file = io.BytesIO()
    others = [Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")]
    pictures.image().save(file, "WEBP", save_all=True, append_images=others, lossless=True)
    assert b"ANMF" in file.getvalue()
    picture = read_header(file.getvalue(), MAX_PIXELS)
    assert picture.size == Size(64, 48)
    assert (decode(picture) == pictures.drawing()).all()
    assert picture.held_bytes < 8 * 64 * 48 + len(file.getvalue())


def test_a_webp_with_a_frame_smaller_than_its_canvas_is_rejected() -> None:
    assert refusal(pictures.webp_header(640, 480)).code == "image_unsupported"


def test_a_truncated_webp_is_rejected_by_its_header() -> None:
    data = pictures.encode(pictures.image(), "WEBP")
    assert refusal(data[: len(data) // 2]).code == "image_corrupt"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "before",
    [
        pictures.jpeg_segment(0xFE, b"a comment"),
        pictures.jpeg_segment(0xDB, bytes([0]) + bytes(range(1, 65))),
        pictures.jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        pictures.jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes(5000)),
        b"\xff\xff\xff",
        pictures.jpeg_segment(0xFE, b"") + b"\0\0stray",
    ],
    ids=["comment", "quantisation", "xmp", "profile", "fill bytes", "stray bytes"],
)
def test_the_orientation_is_found_anywhere_before_the_scan(before: bytes, order: str) -> None:
    data = pictures.encode(pictures.image(), "JPEG", quality=95)
    note = pictures.jpeg_segment(0xE1, b"Exif\0\0" + pictures.exif(6, order))
    picture = read_header(data[:2] + before + note + data[2:], MAX_PIXELS)
    assert (picture.orientation, picture.size) == (6, Size(48, 64))
    assert decode(picture).shape == (64, 48, 3)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_either_byte_order_is_read(format_: str, order: str) -> None:
    data = pictures.encode(pictures.image(), format_, exif=b"Exif\0\0" + pictures.exif(8, order))
    assert read_header(data, MAX_PIXELS).orientation == 8


@pytest.mark.parametrize("note", [b"", b"II*\0", pictures.exif(6)[:-6], pictures.exif(0), pictures.exif(9)])
def test_damaged_exif_is_ignored(note: bytes) -> None:
    data = pictures.encode(pictures.image(), "JPEG")
    data = data[:2] + pictures.jpeg_segment(0xE1, b"Exif\0\0" + note) + data[2:]
    assert read_header(data, MAX_PIXELS).orientation == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 20_000,
        b"\xff\xd8" + b"\xff" * 500_000,
        b"\xff\xd8\xff\xe0\x00\x02" + bytes(500_000),
        b"\xff\xd8\xff\xd0" + b"\xff\xd0" * 20_000,
        b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00" + bytes(10) + b"ANMF\x00\x00\x00\x00" * 20_000,
    ],
    ids=["comments", "fill", "zeroes", "restarts", "animation"],
)
def test_an_endless_header_is_rejected(data: bytes) -> None:
    assert refusal(data).code == "image_corrupt"


def test_scans_times_pixels_are_limited() -> None:
    small = pictures.encode(pictures.image(), "JPEG", progressive=True)
    assert read_header(pictures.with_scans(small, 98), MAX_PIXELS).size == Size(64, 48)
    large = pictures.jpeg_header(4000, 3000, progressive=True)
    assert read_header(pictures.with_scans(large, 12), MAX_PIXELS).size == Size(4000, 3000)
    error = refusal(pictures.with_scans(large, 98))
    assert error.code == "image_too_large"
    assert "98 scans" in str(error)


@pytest.mark.parametrize(("precision", "components"), [(12, 3), (8, 2)])
def test_jpegs_of_unusual_precision_or_components_are_rejected(precision: int, components: int) -> None:
    frame = pictures.jpeg_segment(0xC0, struct.pack(">BHHB", precision, 48, 64, components) + b"\1\x11\0" * components)
    assert refusal(b"\xff\xd8" + frame + pictures.jpeg_segment(0xDA, bytes(10))).code == "image_unsupported"


def test_a_lossless_jpeg_is_rejected() -> None:
    frame = pictures.jpeg_segment(0xC3, struct.pack(">BHHB", 8, 48, 64, 1) + b"\1\x11\0")
    assert refusal(b"\xff\xd8" + frame).code == "image_unsupported"


def test_a_png_with_one_very_long_row_is_rejected() -> None:
    assert refusal(pictures.png_header(30_000_000, 1)).code == "image_too_large"


def held(format_: str, mode: str = "RGB", **options: object) -> float:
    """Bytes a pixel that decoding needs at any scale, without the file."""
    data = pictures.encode(Image.new(mode, FLAT), format_, **options)
    picture = read_header(data, MAX_PIXELS)
    return (picture.held_bytes - (0 if format_ == "JPEG" else len(data))) / (FLAT[0] * FLAT[1])


def test_memory_for_decoding_depends_on_the_file() -> None:
    assert held("JPEG") == 0
    assert held("JPEG", progressive=True, subsampling=2) == 3
    assert held("JPEG", progressive=True, subsampling=0) == 6
    assert held("JPEG", "L", progressive=True) == 2
    assert held("JPEG", "CMYK", progressive=True) == 8
    assert held("PNG", "L") == pytest.approx(1, abs=0.01)
    assert held("PNG", "P") == pytest.approx(1, abs=0.01)
    assert held("PNG", "LA") == pytest.approx(4, abs=0.02)
    assert held("PNG", "RGB") == pytest.approx(4, abs=0.02)
    assert held("PNG", "RGBA") == pytest.approx(4, abs=0.02)
    assert held("WEBP") == pytest.approx(6, abs=0.1)
    assert held("WEBP", lossless=True) == pytest.approx(7, abs=0.1)


def test_only_images_that_need_much_memory_are_large() -> None:
    camera = read_header(pictures.encode(Image.new("RGB", (4000, 3000)), "JPEG"), MAX_PIXELS)
    assert not camera.large
    assert peak_bytes(camera, Size(640, 480)) < LARGE_BYTES
    assert read_header(pictures.encode(Image.new("RGB", (4000, 3000)), "JPEG", progressive=True), MAX_PIXELS).large
    assert read_header(pictures.encode(Image.new("RGB", (3840, 2160)), "PNG"), MAX_PIXELS).large
    assert not read_header(pictures.encode(Image.new("RGB", (2560, 1440)), "PNG"), MAX_PIXELS).large
    assert not read_header(pictures.encode(Image.new("RGB", (1920, 1080)), "WEBP"), MAX_PIXELS).large


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "LA"])
@pytest.mark.parametrize("shape", [(1000, 700), (701, 1003), (3001, 40), (40, 3001)])
def test_reducing_a_png_in_bands_equals_reducing_it_at_once(mode: str, shape: tuple[int, int]) -> None:
    drawn = pictures.image("RGB", *shape).convert(mode)
    picture = read_header(pictures.encode(drawn, "PNG"), MAX_PIXELS)
    place = fit(picture.size, input_size(picture.size, 96, 32))
    window = load(picture, place)[place.top : place.top + place.inner.height, place.left :][:, : place.inner.width]
    expected = drawn.convert("RGB").resize((place.inner.width, place.inner.height), Image.Resampling.BOX)
    assert np.abs(window.astype(int) - np.asarray(expected).astype(int)).mean() < (14 if mode == "1" else 4)
