"""Decode an image whose header has been read into a network's input.

Rules of this file:
- The memory needed is known in advance (`peak_bytes`), so that `vision/admission.py` can admit or refuse the image.
- simplejpeg decodes a JPEG at reduced size in the DCT domain, without a further resize where the size fits exactly.
- Pillow decodes a PNG at full size and reduces it band by band: one to four bytes a pixel, where its conversion to an
  array takes 14. OpenCV decodes a WebP at full size: 6 or 7, where Pillow takes 22. See `make bench BENCH=decoding`.
- Metadata is removed before decoding, because Pillow inflates compressed text chunks of a PNG.
- A truncated image is an error. Stray bytes before the end marker of a JPEG, or a missing end marker, are tolerated,
  because some cameras produce them.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from appliance.errors import BadFrame
from appliance.ports import Tensor
from appliance.values import Picture, Size
from appliance.vision.containers import PNG_SIGNATURE, jpeg_segments, png_chunks, webp_bitstream
from appliance.vision.header import read_header as read_header
from appliance.vision.letterbox import GREY, Letterbox
from appliance.vision.window import PicturePart

Image.MAX_IMAGE_PIXELS = None  # our limit is stricter, configurable, and an error instead of a warning

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""

_EOI = b"\xff\xd9"
_SOS = b"\xff\xda\x00"
_ADOBE, _JFIF, _APP15, _COMMENT = 0xEE, 0xE0, 0xEF, 0xFE
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Without tRNS: transparency is ignored."""

_BAND_PIXELS = 250_000
_BAND_BYTES = 14
"""Bytes a pixel of a band while it is reduced: copy, RGB conversion, NumPy array."""
_FIXED_BYTES = 7_000_000
"""Decoder tables and row buffers, and the tensor."""

_WEBP_PADDING = 32
"""OpenCV needs this many bytes, and writes to stderr when a tiny image has fewer."""

_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, struct.error, KeyError, IndexError, TypeError, EOFError)
"""Raised by Pillow for damaged files; UnidentifiedImageError is an OSError."""


def load(picture: Picture, place: Letterbox) -> Tensor:
    """Decode an image into a network's input: (outer.height, outer.width, 3), RGB, with a grey border.

    Raises BadFrame image_corrupt when the pixels cannot be decoded, image_too_large when memory runs out.
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


def load_windows(picture: Picture, windows: Sequence[PicturePart]) -> list[Tensor]:
    """Decode parts of an image into network inputs, from one decoding at the finest detail that they need.

    Raises BadFrame like `load`.
    """
    scale = min(1.0, max(window.scale for window in windows))
    least = Size(math.ceil(picture.size.width * scale), math.ceil(picture.size.height * scale))
    pixels = _upright(_decode(picture, _as_coded(least, picture)), picture.orientation)
    down, across = pixels.shape[0] / picture.size.height, pixels.shape[1] / picture.size.width
    tensors = []
    for window in windows:
        place, area = window.place, window.box_px
        part = pixels[round(area.y1 * down) : round(area.y2 * down), round(area.x1 * across) : round(area.x2 * across)]
        inner = (place.inner.width, place.inner.height)
        if part.shape[1::-1] != inner:
            finer = part.shape[1] >= 2 * inner[0]
            part = cv2.resize(
                np.ascontiguousarray(part), inner, interpolation=cv2.INTER_AREA if finer else cv2.INTER_LINEAR
            )  # fmt: skip
        tensor = np.full((place.outer.height, place.outer.width, 3), GREY, np.uint8)
        tensor[place.top : place.top + place.inner.height, place.left : place.left + place.inner.width] = part
        tensors.append(tensor)
    return tensors


def decode(picture: Picture) -> Pixels:
    """Decode an image at its own size. Raises BadFrame image_corrupt, image_too_large."""
    return np.ascontiguousarray(_upright(_decode(picture, _as_coded(picture.size, picture)), picture.orientation))


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Encode (height, width, 3) RGB as JPEG with 4:2:0 subsampling, as cameras do."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420"))


def peak_bytes(picture: Picture, at_least: Size) -> int:
    """Peak memory for decoding to this size, without the file itself."""
    coded, target = _as_coded(picture.size, picture), _as_coded(at_least, picture)
    if picture.format == "jpeg":
        scaled = _scaled(coded, target)
        each = 3 if picture.plain_jpeg else 7 if picture.orientation == 1 else 10  # CMYK, RGB, rotated copy
        return _FIXED_BYTES + picture.held_bytes + scaled.width * scaled.height * each
    across, down = _reduction(coded, target)
    small = -(-coded.width // across) * -(-coded.height // down)
    turned = small * 3 if picture.orientation > 1 else 0
    if picture.format == "webp":  # held_bytes includes the full-size image
        made_smaller = small * 3 if max(across, down) > 1 else 0
        return _FIXED_BYTES + picture.held_bytes + made_smaller + turned
    band = min(max(_BAND_PIXELS, coded.width * down), coded.width * coded.height)
    return _FIXED_BYTES + picture.held_bytes + band * _BAND_BYTES + small * 3 + turned


def _as_coded(size: Size, picture: Picture) -> Size:
    """Convert a displayed size to the size stored in the file, or back."""
    return Size(size.height, size.width) if picture.orientation >= 5 else size


def _scaled(size: Size, at_least: Size) -> Size:
    """The size at which a JPEG is decoded: the fewest eighths of its own size that cover `at_least`."""
    for eighths in range(1, 8):
        scaled = Size(-(-size.width * eighths // 8), -(-size.height * eighths // 8))
        if scaled.width >= at_least.width and scaled.height >= at_least.height:
            return scaled
    return size


def _reduction(size: Size, at_least: Size) -> tuple[int, int]:
    """The largest integer factors by which width and height can be reduced without going below `at_least`."""
    return max(1, size.width // at_least.width), max(1, size.height // at_least.height)


def _decode(picture: Picture, at_least: Size) -> Pixels:
    """Decode without applying the orientation. The result covers `at_least`, unless the image itself is smaller."""
    try:
        if picture.format == "jpeg":
            return _decode_jpeg(picture, at_least)
        if picture.format == "webp":
            return _decode_webp(picture, at_least)
        return _decode_pillow(_png_without_metadata(picture.data), picture, at_least)
    except MemoryError:
        raise BadFrame(
            f"not enough memory to decode {picture.size.width}x{picture.size.height} pixels; send a smaller image",
            "image_too_large",
        ) from None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1-8)."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels.transpose(1, 0, 2) if orientation >= 5 else pixels


def _check_size(picture: Picture, width: int, height: int) -> None:
    """Check that the decoder found the size that was admitted."""
    if Size(width, height) != _as_coded(picture.size, picture):
        raise _damaged(picture, "contradictory headers")


def _damaged(picture: Picture, why: object) -> BadFrame:
    return BadFrame(f"damaged {picture.format.upper()} image: {why}", "image_corrupt")


# JPEG


def _decode_jpeg(picture: Picture, at_least: Size) -> Pixels:
    data = picture.data
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # an unsupported subsampling; Pillow detects damage
        return _decode_pillow(_jpeg_without_metadata(data), picture, at_least)
    _check_size(picture, width, height)
    if data.rfind(_EOI) < data.rfind(_SOS):
        data += _EOI  # then only missing rows are an error, not a missing end marker
    if space not in ("CMYK", "YCCK"):
        return _simplejpeg(picture, data, "RGB", at_least)
    inks = _simplejpeg(picture, data, "CMYK", at_least)  # inverted, as Adobe writes them
    pixels = np.empty((*inks.shape[:2], 3), np.uint8)
    rows = max(1, _BAND_PIXELS // inks.shape[1])
    for top in range(0, len(inks), rows):
        band = inks[top : top + rows]
        pixels[top : top + rows] = cv2.multiply(band[:, :, :3], band[:, :, 3:].repeat(3, axis=2), scale=1 / 255)
    return pixels


def _simplejpeg(picture: Picture, data: bytes, space: str, at_least: Size, metadata: bool = True) -> Pixels:
    """Treat every warning as an error, except those that do not affect pixels. `metadata`: `data` may contain some."""
    size = {"min_width": at_least.width, "min_height": at_least.height}
    try:
        pixels = simplejpeg.decode_jpeg(data, space, **size)
    except ValueError as error:
        why = str(error)
        if "extraneous bytes before marker 0xd9" in why:
            pixels = simplejpeg.decode_jpeg(data, space, strict=False, **size)
        elif metadata and ("extraneous bytes" in why or "ICC" in why):
            return _simplejpeg(picture, _jpeg_without_metadata(data), space, at_least, metadata=False)
        else:
            raise _damaged(picture, error) from None
    return np.asarray(pixels, np.uint8)


def _jpeg_without_metadata(data: bytes) -> bytes:
    """Remove stray bytes, comments and application segments, except those that define the colour space."""
    pieces, kept_to = [data[:2]], 2
    for marker, begin, end in jpeg_segments(data):
        if not (marker == _COMMENT or (_JFIF < marker <= _APP15 and marker != _ADOBE)):
            pieces.append(data[begin:end])
        kept_to = end
    return b"".join([*pieces, data[kept_to:]])


# PNG and WebP


def _png_without_metadata(data: bytes) -> bytes:
    """Keep only the chunks that define pixels: no profiles, no text (possibly compressed), no further frames."""
    file = memoryview(data)
    pieces: list[memoryview | bytes] = [PNG_SIGNATURE]
    for kind, begin, end in png_chunks(data):
        if kind in _PIXEL_CHUNKS:
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
        raise _damaged(picture, "the pixels cannot be decoded")
    _check_size(picture, pixels.shape[1], pixels.shape[0])
    if max(_reduction(Size(pixels.shape[1], pixels.shape[0]), at_least)) > 1:
        pixels = cv2.resize(pixels, (at_least.width, at_least.height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), np.uint8)


def _decode_pillow(data: bytes, picture: Picture, at_least: Size) -> Pixels:
    try:
        with Image.open(io.BytesIO(data), formats=(picture.format,)) as image:
            _check_size(picture, *image.size)
            image.draft(None, (at_least.width, at_least.height))
            image.load()
            return _in_bands(image, at_least)
    except UnidentifiedImageError:  # its text has an address in the memory of this process
        raise _damaged(picture, "no valid header") from None
    except _PILLOW_ERRORS as error:
        raise _damaged(picture, error) from None


def _in_bands(image: Image.Image, at_least: Size) -> Pixels:
    """Convert an image to RGB and reduce it by the largest integer factors that keep it above `at_least`."""
    across, down = _reduction(Size(*image.size), at_least)
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
    if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper 8
        image = Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
