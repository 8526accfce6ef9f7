"""A picture whose header has been read -> the pixels a network wants.

Rules of this file:
- What it takes is known beforehand (`peak_bytes`), so that `vision/admission.py` can let it in or refuse it.
- A JPEG is decoded scaled in the DCT domain by simplejpeg, and straight into the network's input where it fits exactly.
- A PNG is decoded whole by Pillow and made smaller band by band: one to four bytes a pixel, where Pillow's own way to
  an array takes 14. A WebP is decoded whole by OpenCV: 6 or 7, where Pillow takes 22. See `make bench BENCH=decoding`.
- No decoder gets to see metadata: Pillow inflates a PNG's compressed notes without being asked.
- Half a picture is an error. A camera that puts stray bytes between the picture and its end is forgiven, and so is one
  that leaves out the end marker.
"""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from appliance.errors import BadFrame
from appliance.ports import Tensor
from appliance.values import Picture, Size
from appliance.vision.containers import PNG_SIGNATURE, jpeg_segments, png_chunks, webp_bitstream
from appliance.vision.header import read_header as read_header
from appliance.vision.letterbox import GREY, Letterbox

Image.MAX_IMAGE_PIXELS = None  # our own bound is stricter, configured, and an error instead of a warning

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""

_EOI = b"\xff\xd9"
_SOS = b"\xff\xda\x00"
_ADOBE, _JFIF, _APP15, _COMMENT = 0xEE, 0xE0, 0xEF, 0xFE
_WANTED_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Not tRNS: the colours are wanted as they are, whatever shows through."""

_BAND_PIXELS = 250_000
_BAND_BYTES = 14
"""A pixel of a band while it is made smaller: copied, made RGB, handed to numpy."""
_FIXED_BYTES = 7_000_000
"""Rows under way, tables and buffers of the decoders, the tensor."""

_WEBP_PADDING = 32
"""OpenCV asks for so many bytes, and writes to stderr where a tiny picture has fewer."""

_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, struct.error, KeyError, IndexError, TypeError, EOFError)
"""What Pillow raises on broken files; UnidentifiedImageError is an OSError."""


def load(picture: Picture, place: Letterbox) -> Tensor:
    """Decode a picture into a network's input: (outer.height, outer.width, 3), RGB, grey border.

    Raises BadFrame image_corrupt when the pixels cannot be decoded, image_too_large when memory does not suffice.
    """
    tensor = np.full((place.outer.height, place.outer.width, 3), GREY, np.uint8)
    window = tensor[place.top : place.top + place.inner.height, place.left : place.left + place.inner.width]
    inner = _as_coded(place.inner, picture)
    pixels = _decode(picture, inner)
    if pixels.shape[:2] != (inner.height, inner.width):
        pixels = np.asarray(
            cv2.resize(pixels, (inner.width, inner.height), interpolation=cv2.INTER_LINEAR), np.uint8
        )  # fmt: skip
    window[:] = _upright(pixels, picture.orientation)
    return tensor


def decode(picture: Picture) -> Pixels:
    """The whole picture at its own size. Raises BadFrame image_corrupt, image_too_large."""
    return np.ascontiguousarray(_upright(_decode(picture, _as_coded(picture.size, picture)), picture.orientation))


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """(height, width, 3) RGB -> JPEG, colour at half resolution as cameras send it."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420"))


def peak_bytes(picture: Picture, at_least: Size) -> int:
    """The memory that decoding it for this size takes at most while it lasts, besides the file."""
    coded, wanted = _as_coded(picture.size, picture), _as_coded(at_least, picture)
    if picture.format == "jpeg":
        scaled = _scaled(coded, wanted)
        each = 3 if picture.plain_jpeg else 7 if picture.orientation == 1 else 10  # inks, RGB, turned
        return _FIXED_BYTES + picture.held_bytes + scaled.width * scaled.height * each
    across, down = _whole_part(coded, wanted)
    small = -(-coded.width // across) * -(-coded.height // down)
    turned = small * 3 if picture.orientation > 1 else 0
    if picture.format == "webp":  # which counts the whole picture already
        made_smaller = small * 3 if max(across, down) > 1 else 0
        return _FIXED_BYTES + picture.held_bytes + made_smaller + turned
    band = min(max(_BAND_PIXELS, coded.width * down), coded.width * coded.height)
    return _FIXED_BYTES + picture.held_bytes + band * _BAND_BYTES + small * 3 + turned


def _as_coded(size: Size, picture: Picture) -> Size:
    """A size as it is meant to be seen -> as it lies in the file, and back."""
    return Size(size.height, size.width) if picture.orientation >= 5 else size


def _scaled(size: Size, at_least: Size) -> Size:
    """The size at which a JPEG is decoded: the fewest eighths of its own that are no smaller than `at_least`."""
    for eighths in range(1, 8):
        scaled = Size(-(-size.width * eighths // 8), -(-size.height * eighths // 8))
        if scaled.width >= at_least.width and scaled.height >= at_least.height:
            return scaled
    return size


def _whole_part(size: Size, at_least: Size) -> tuple[int, int]:
    """By how much each side can be divided so that it is no smaller than `at_least`."""
    return max(1, size.width // at_least.width), max(1, size.height // at_least.height)


def _decode(picture: Picture, at_least: Size) -> Pixels:
    """As it lies in the file, no smaller than `at_least`, where that is no larger than the picture."""
    try:
        if picture.format == "jpeg":
            return _decode_jpeg(picture, at_least)
        if picture.format == "webp":
            return _decode_webp(picture, at_least)
        return _decode_pillow(_png_without_notes(picture.data), picture, at_least)
    except MemoryError:
        raise BadFrame(
            f"{picture.size.width}x{picture.size.height} pixels: there is not enough memory to decode them; "
            "send a smaller picture",
            "image_too_large",
        ) from None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turned as an EXIF orientation (1-8) asks."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels.transpose(1, 0, 2) if orientation >= 5 else pixels


def _check_size(picture: Picture, width: int, height: int) -> None:
    """What was let in is what is decoded."""
    if Size(width, height) != _as_coded(picture.size, picture):
        raise _damaged(picture, "two headers that contradict each other")


def _damaged(picture: Picture, why: object) -> BadFrame:
    return BadFrame(f"damaged {picture.format.upper()} picture: {why}", "image_corrupt")


# JPEG


def _decode_jpeg(picture: Picture, at_least: Size) -> Pixels:
    data = picture.data
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # a sampling that it has no name for; Pillow has the last word on damage
        return _decode_pillow(_jpeg_without_notes(data), picture, at_least)
    _check_size(picture, width, height)
    if data.rfind(_EOI) < data.rfind(_SOS):
        data += _EOI  # with it, rows that are missing are an error and a missing end is none
    if space not in ("CMYK", "YCCK"):
        return _simplejpeg(picture, data, "RGB", at_least)
    inks = _simplejpeg(picture, data, "CMYK", at_least)  # all of them inverted, as Adobe began to write them
    pixels = np.empty((*inks.shape[:2], 3), np.uint8)
    rows = max(1, _BAND_PIXELS // inks.shape[1])
    for top in range(0, len(inks), rows):
        band = inks[top : top + rows]
        pixels[top : top + rows] = cv2.multiply(band[:, :, :3], band[:, :, 3:].repeat(3, axis=2), scale=1 / 255)
    return pixels


def _simplejpeg(picture: Picture, data: bytes, space: str, at_least: Size, notes: bool = True) -> Pixels:
    """Every warning is an error, but those that have nothing to do with the pixels. `notes`: `data` may have some."""
    wanted = {"min_width": at_least.width, "min_height": at_least.height}
    try:
        pixels = simplejpeg.decode_jpeg(data, space, **wanted)
    except ValueError as error:
        why = str(error)
        if "extraneous bytes before marker 0xd9" in why:
            pixels = simplejpeg.decode_jpeg(data, space, strict=False, **wanted)
        elif notes and ("extraneous bytes" in why or "ICC" in why):
            return _simplejpeg(picture, _jpeg_without_notes(data), space, at_least, notes=False)
        else:
            raise _damaged(picture, error) from None
    return np.asarray(pixels, np.uint8)


def _jpeg_without_notes(data: bytes) -> bytes:
    """Without stray bytes, comments and application segments, but for those that say what the colours mean."""
    pieces, kept_to = [data[:2]], 2
    for marker, begin, end in jpeg_segments(data):
        if not (marker == _COMMENT or (_JFIF < marker <= _APP15 and marker != _ADOBE)):
            pieces.append(data[begin:end])
        kept_to = end
    return b"".join([*pieces, data[kept_to:]])


# PNG and WebP


def _png_without_notes(data: bytes) -> bytes:
    """Only what makes up its pixels: neither profiles nor texts, which may be compressed, nor further pictures."""
    file = memoryview(data)
    pieces: list[memoryview | bytes] = [PNG_SIGNATURE]
    for kind, begin, end in png_chunks(data):
        if kind in _WANTED_CHUNKS:
            pieces.append(file[begin:end])
        if kind == b"IEND":
            break
    return b"".join(pieces)


def _decode_webp(picture: Picture, at_least: Size) -> Pixels:
    begin, end = webp_bitstream(picture.data)
    beginning = b"RIFF" + struct.pack("<I", 4 + end - begin + ((end - begin) & 1)) + b"WEBP"
    file = b"".join((beginning, memoryview(picture.data)[begin:end], bytes(_WEBP_PADDING)))
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        pixels = None
    if pixels is None:
        raise _damaged(picture, "its pixels cannot be decoded")
    _check_size(picture, pixels.shape[1], pixels.shape[0])
    if max(_whole_part(Size(pixels.shape[1], pixels.shape[0]), at_least)) > 1:
        pixels = cv2.resize(pixels, (at_least.width, at_least.height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), np.uint8)


def _decode_pillow(data: bytes, picture: Picture, at_least: Size) -> Pixels:
    try:
        with Image.open(io.BytesIO(data), formats=(picture.format,)) as image:
            _check_size(picture, *image.size)
            image.draft(None, (at_least.width, at_least.height))
            image.load()
            return _in_bands(image, at_least)
    except _PILLOW_ERRORS as error:
        raise _damaged(picture, error) from None


def _in_bands(image: Image.Image, at_least: Size) -> Pixels:
    """An image in RGB, divided by the largest whole numbers that leave it no smaller than `at_least`."""
    across, down = _whole_part(Size(*image.size), at_least)
    pixels = np.empty((-(-image.height // down), -(-image.width // across), 3), np.uint8)
    rows = down * max(1, _BAND_PIXELS // (image.width * down))
    for top in range(0, image.height, rows):
        band = _rgb(image.crop((0, top, image.width, min(top + rows, image.height))))
        if across > 1 or down > 1:
            band = band.reduce((across, down))
        begin = top // down
        pixels[begin : begin + band.height] = np.asarray(band)
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight
        image = Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
