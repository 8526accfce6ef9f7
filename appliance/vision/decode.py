"""Bytes from a stranger -> a picture whose header can be trusted -> the pixels a network wants.

Rules of this file:
- The header decides before anything is decoded: a picture with too many pixels costs microseconds, and so does a
  JPEG that paints them over and over.
- A plain JPEG is decoded scaled in the DCT domain, and straight into the network's input where it fits exactly.
- Everything else (PNG, WebP, CMYK or rotated JPEG) goes through Pillow: rarer, slower, complete.
- Half a picture is an error. A camera that puts stray bytes between the picture and its end is forgiven.
"""

from __future__ import annotations

import io
import re
import struct

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from appliance.errors import BadFrame
from appliance.ports import Tensor
from appliance.values import Picture, Size
from appliance.vision.letterbox import GREY, Letterbox

Image.MAX_IMAGE_PIXELS = None  # our own bound is stricter, configured, and an error instead of a warning

_ORIENTATION_TAG = 0x0112
_MOST_SCANS = 100
"""A progressive JPEG has about ten. Each costs a walk over all pixels and can be as short as 59 bytes."""

_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
"""A start of scan with the length that its number of components asks for; it does not come about by chance."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""

_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, struct.error, KeyError, IndexError, TypeError, EOFError)
"""What Pillow raises on broken files; UnidentifiedImageError is an OSError."""


def read_header(data: bytes, max_pixels: int) -> Picture:
    """Find out what was sent without decoding it.

    Raises BadFrame: image_unsupported, image_corrupt, image_too_large.
    """
    if data[:3] == b"\xff\xd8\xff":
        picture = _read_jpeg_header(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        picture = _read_other_header(data, "png")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_size(_webp_canvas(data), max_pixels)  # Pillow makes room for the canvas as soon as it opens one
        picture = _read_other_header(data, "webp")
    else:
        raise BadFrame("not a JPEG, PNG or WebP picture; send one of these", "image_unsupported")
    _check_size(picture.size, max_pixels)
    return picture


def load(picture: Picture, place: Letterbox) -> Tensor:
    """Decode a picture into a network's input: (outer.height, outer.width, 3), RGB, grey border.

    Raises BadFrame image_corrupt when the pixels cannot be decoded.
    """
    tensor = np.full((place.outer.height, place.outer.width, 3), GREY, np.uint8)
    window = tensor[place.top : place.top + place.inner.height, place.left : place.left + place.inner.width]
    pixels = _decode_jpeg(picture, place.inner) if picture.plain_jpeg else _decode_other(picture, place.inner)
    if pixels.shape == window.shape:
        window[:] = pixels
    else:
        window[:] = cv2.resize(pixels, (place.inner.width, place.inner.height), interpolation=cv2.INTER_LINEAR)
    return tensor


def decode(picture: Picture) -> NDArray[np.uint8]:
    """The whole picture at its own size: (height, width, 3), RGB. Raises BadFrame image_corrupt."""
    return _decode_jpeg(picture, picture.size) if picture.plain_jpeg else _decode_other(picture, picture.size)


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """(height, width, 3) RGB -> JPEG, colour at half resolution as cameras send it."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420"))


def _check_size(size: Size, max_pixels: int) -> None:
    if size.width < 1 or size.height < 1:
        raise BadFrame(f"the header says {size.width}x{size.height} pixels", "image_corrupt")
    if size.width * size.height > max_pixels:
        raise BadFrame(
            f"{size.width}x{size.height} pixels; at most {max_pixels} are taken (flow.max_pixels)", "image_too_large"
        )


def _read_jpeg_header(data: bytes) -> Picture:
    if len(_SCAN.findall(data)) > _MOST_SCANS:
        raise BadFrame(f"a JPEG of more than {_MOST_SCANS} scans; send a plain one", "image_corrupt")
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        orientation = _jpeg_orientation(data)
        plain = colorspace in ("YCbCr", "Gray", "RGB") and orientation == 1
    except (ValueError, KeyError):
        # Sub-samplings that simplejpeg has no name for are left to Pillow, which also has the last word on damage.
        return _read_other_header(data, "jpeg")
    size = Size(height, width) if orientation >= 5 else Size(width, height)
    return Picture(data, "jpeg", size, orientation, plain)


def _jpeg_orientation(data: bytes) -> int:
    """From the EXIF segment, looked for among the application segments at the front and nowhere else."""
    at = 2
    while data[at : at + 1] == b"\xff" and 0xE0 <= data[at + 1] <= 0xEF and len(data) > at + 4:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            exif = Image.Exif()
            try:
                exif.load(data[at + 4 : at + 2 + length])
                return _orientation(exif)
            except _PILLOW_ERRORS:
                return 1  # a broken note beside the picture does not spoil the picture
        at += 2 + length
    return 1


def _orientation(exif: Image.Exif) -> int:
    value = exif.get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _webp_canvas(data: bytes) -> Size:
    """As the first chunk says (RFC 9649, section 2)."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return Size(int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and len(body) == 10:
        return Size(int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF)
    raise BadFrame("begins like a WEBP picture but has no readable header", "image_corrupt")


def _read_other_header(data: bytes, kind: str) -> Picture:
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            # Asked for EXIF that does not stand before the pixels, Pillow decodes a whole PNG to look behind them.
            orientation = 1 if kind == "png" and "exif" not in image.info else _orientation(image.getexif())
            width, height = image.size
    except UnidentifiedImageError:
        raise BadFrame(f"begins like a {kind.upper()} picture but has no readable header", "image_corrupt") from None
    except _PILLOW_ERRORS as error:
        raise BadFrame(f"damaged {kind.upper()} picture: {error}", "image_corrupt") from None
    size = Size(height, width) if orientation >= 5 else Size(width, height)
    return Picture(data, kind, size, orientation)  # type: ignore[arg-type]  # kind comes from read_header's three


def _decode_jpeg(picture: Picture, at_least: Size) -> NDArray[np.uint8]:
    wanted = {"min_width": at_least.width, "min_height": at_least.height}
    try:
        pixels = simplejpeg.decode_jpeg(picture.data, "RGB", **wanted)
    except ValueError as error:
        if "extraneous bytes before marker 0xd9" not in str(error):
            raise BadFrame(f"damaged JPEG picture: {error}", "image_corrupt") from None
        pixels = simplejpeg.decode_jpeg(picture.data, "RGB", strict=False, **wanted)
    return np.asarray(pixels, np.uint8)


def _decode_other(picture: Picture, at_least: Size) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(picture.data), formats=(picture.format,)) as image:
            swapped = picture.orientation >= 5
            image.draft(None, (at_least.height, at_least.width) if swapped else (at_least.width, at_least.height))
            image.info.pop("transparency", None)  # the colours are wanted as they are, whatever shows through
            turn = _UPRIGHT.get(picture.orientation)
            upright = image if turn is None else image.transpose(turn)
            if upright.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight
                grey = (np.asarray(upright, np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            return np.asarray(upright.convert("RGB"), np.uint8)
    except _PILLOW_ERRORS as error:
        raise BadFrame(f"damaged {picture.format.upper()} picture: {error}", "image_corrupt") from None
