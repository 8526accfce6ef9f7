"""Image headers: format, size, orientation, and the memory that decoding needs.

Rules of this file:
- Nothing is inflated or decoded, and no library is called: reading a header takes microseconds for any input.
- Memory that a decoder allocates at any scale (the coefficients of a progressive JPEG, the pixels of a PNG or WebP) is
  computed here; see `Picture.held_bytes`. The figures were measured with `make bench BENCH=decoding`.
- The only metadata that is read is the EXIF orientation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from appliance.errors import BadFrame
from appliance.values import Picture, Size
from appliance.vision.containers import (
    APP1,
    MAX_SEGMENTS,
    PNG_SIGNATURE,
    SOS,
    exif_orientation,
    jpeg_segments,
    no_header,
    png_chunks,
    riff_chunks,
    webp_bitstream,
)

LONGEST_SIDE = 65_535
"""The maximum in JPEG. A PNG may be a single row of any length, and a row is decoded at once."""

_MAX_SCANS = 100
_USUAL_SCANS = 20
"""libjpeg writes 10 for a progressive colour JPEG and 18 for CMYK."""
_MAX_SCANNED = 100_000_000
"""Pixels times scans of a JPEG with more scans than usual. A scan can be as short as 59 bytes and takes 1 to 10 ns a
pixel (x86-64), so this limits decoding to 0.1 to 1 s."""

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
"""Start of frame: baseline, extended and progressive, Huffman or arithmetic coded."""
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
"""Lossless and hierarchical: not supported by all decoders."""
_PROGRESSIVE = {0xC2, 0xCA}
_USUAL_SAMPLINGS = {(1, 1), (2, 1), (2, 2), (1, 2), (4, 1)}
"""Chroma subsamplings that simplejpeg supports. Pillow decodes a JPEG with any other, at full size."""

_PNG_CORE_BYTES = {(0, 16): 4, 2: 4, 4: 4, 6: 4}
"""Pillow's bytes a pixel by colour type, or colour type and depth: one for grey and palette, otherwise four."""
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_WEBP_LOSSY_BYTES, _WEBP_LOSSLESS_BYTES = 6, 7
"""OpenCV's bytes a pixel: three, and three for a copy at the end; libwebp needs four for a lossless image."""


def read_header(data: bytes, max_pixels: int) -> Picture:
    """Read format, size and orientation without decoding.

    Raises BadFrame: image_unsupported, image_corrupt, image_too_large.
    """
    if data[:3] == b"\xff\xd8\xff":
        return _read_jpeg(data, max_pixels)
    if data[:8] == PNG_SIGNATURE:
        return _read_png(data, max_pixels)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _read_webp(data, max_pixels)
    raise BadFrame("unsupported image format; send JPEG, PNG or WebP", "image_unsupported")


def _check_size(size: Size, max_pixels: int) -> None:
    if size.width < 1 or size.height < 1:
        raise BadFrame(f"invalid image size in the header: {size.width}x{size.height} pixels", "image_corrupt")
    if size.width * size.height > max_pixels:
        raise BadFrame(
            f"the image has {size.width}x{size.height} pixels; at most {max_pixels} are accepted (flow.max_pixels)",
            "image_too_large",
        )
    if max(size.width, size.height) > LONGEST_SIDE:
        raise BadFrame(
            f"the image has {size.width}x{size.height} pixels; the longest side may have {LONGEST_SIDE}",
            "image_too_large",
        )


def _upright(size: Size, orientation: int) -> Size:
    return Size(size.height, size.width) if orientation >= 5 else size


# JPEG


@dataclass(frozen=True, slots=True)
class _JpegFrame:
    """A JPEG start of frame; `samplings`: (horizontal, vertical) for each component."""

    marker: int
    size: Size
    samplings: tuple[tuple[int, int], ...]

    @property
    def usual(self) -> bool:
        """Whether simplejpeg can decode it at a reduced size."""
        if len(self.samplings) == 1:
            return True
        (across, down), *colour = self.samplings
        black = colour[2:]  # in CMYK: sampled like the first component
        if len(set(colour[:2])) > 1 or any(one != (across, down) for one in black):
            return False
        finer = across / colour[0][0], down / colour[0][1]
        return finer in _USUAL_SAMPLINGS and (finer != (1, 1) or across * down <= 3)

    @property
    def coefficient_bytes(self) -> int:
        """Memory for the coefficients of an image with several scans: 16 bits each, in complete 8x8 blocks."""
        across, down = (max(one[axis] for one in self.samplings) for axis in (0, 1))
        blocks = 0
        for horizontal, vertical in self.samplings:
            wide = -(-self.size.width * horizontal // (across * 8))
            high = -(-self.size.height * vertical // (down * 8))
            blocks += -(-wide // horizontal) * horizontal * -(-high // vertical) * vertical
        return blocks * 128


def _read_jpeg(data: bytes, max_pixels: int) -> Picture:
    frame, exif, first_scan = None, b"", 0
    for marker, begin, end in jpeg_segments(data):
        if marker in _FRAMES and frame is None:
            frame = _jpeg_frame(marker, data[begin + 4 : end])
            _check_size(frame.size, max_pixels)
        elif marker in _OTHER_FRAMES:
            raise BadFrame(
                "lossless and hierarchical JPEGs are not supported; send a baseline JPEG", "image_unsupported"
            )
        elif marker == APP1 and not exif and data[begin + 4 : begin + 10] == b"Exif\0\0":
            exif = data[begin + 10 : end]  # the first one counts
        elif marker == SOS:
            first_scan = data[begin + 4] if end > begin + 4 else 0
    if frame is None:
        raise no_header("JPEG")
    orientation, held = exif_orientation(exif), 0
    if frame.marker in _PROGRESSIVE or first_scan < len(frame.samplings):
        _check_scans(data, frame.size)
        held = frame.coefficient_bytes
    if not frame.usual:
        held += 4 * frame.size.width * frame.size.height
    plain = frame.usual and len(frame.samplings) != 4 and orientation == 1
    return Picture(data, "jpeg", _upright(frame.size, orientation), orientation, plain, held)


def _jpeg_frame(marker: int, body: bytes) -> _JpegFrame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise no_header("JPEG")
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise BadFrame(f"JPEG with {precision} bits a sample is not supported; send 8 bits", "image_unsupported")
    if components not in (1, 3, 4):
        raise BadFrame(
            f"JPEG with {components} colour components is not supported; send grey, colour or CMYK", "image_unsupported"
        )
    samplings = tuple((body[at] >> 4, body[at] & 15) for at in range(7, len(body), 3))
    if not all(1 <= factor <= 4 for sampling in samplings for factor in sampling):
        raise no_header("JPEG")
    return _JpegFrame(marker, Size(width, height), samplings)


def _check_scans(data: bytes, size: Size) -> None:
    scans = data.count(b"\xff\xda\x00")  # in entropy-coded data 0xff is always followed by 0x00
    if scans > _MAX_SCANS:
        raise BadFrame(f"the JPEG has more than {_MAX_SCANS} scans; send a baseline JPEG", "image_corrupt")
    if scans > _USUAL_SCANS and scans * size.width * size.height > _MAX_SCANNED:
        raise BadFrame(
            f"the JPEG has {size.width}x{size.height} pixels in {scans} scans; send a baseline JPEG", "image_too_large"
        )


# PNG


def _read_png(data: bytes, max_pixels: int) -> Picture:
    chunks = png_chunks(data)
    kind, begin, end = next(chunks, (b"", 0, 0))
    if kind != b"IHDR" or end - begin != 25:
        raise no_header("PNG")
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, begin + 8)
    size = Size(width, height)
    _check_size(size, max_pixels)
    if depth not in _PNG_DEPTHS.get(colour, ()) or interlace > 1:
        raise no_header("PNG")
    orientation = 1
    for _ in range(MAX_SEGMENTS):
        kind, begin, end = next(chunks, (b"IDAT", 0, 0))
        if kind == b"eXIf":
            orientation = exif_orientation(data[begin + 8 : end - 4].removeprefix(b"Exif\0\0"))
        if kind in (b"eXIf", b"IDAT"):
            break
    core = _PNG_CORE_BYTES.get((colour, depth), _PNG_CORE_BYTES.get(colour, 1))
    rows = 2 * (width * _PNG_SAMPLES[colour] * depth // 8)
    held = core * width * height + rows + len(data)  # the file without metadata is a copy
    return Picture(data, "png", _upright(size, orientation), orientation, held_bytes=held)


# WebP


def _read_webp(data: bytes, max_pixels: int) -> Picture:
    canvas, orientation = None, 1
    if data[12:16] == b"VP8X" and len(data) >= 30:
        canvas = Size(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)
        _check_size(canvas, max_pixels)
    elif data[12:16] not in (b"VP8 ", b"VP8L"):
        raise no_header("WEBP")
    begin, end = webp_bitstream(data)
    lossless = data[begin : begin + 4] == b"VP8L"
    beginning = data[begin + 8 : min(end, begin + 18)]
    size = _vp8l_size(beginning) if lossless else _vp8_size(beginning)
    _check_size(size, max_pixels)
    if canvas is not None:
        if size != canvas:
            raise BadFrame(
                f"WebP canvas of {canvas.width}x{canvas.height} pixels with a frame of {size.width}x{size.height}; "
                "send a still image",
                "image_unsupported",
            )
        orientation = _webp_orientation(data) if data[20] & 0x08 else 1
    held = (_WEBP_LOSSLESS_BYTES if lossless else _WEBP_LOSSY_BYTES) * size.width * size.height + end - begin
    return Picture(data, "webp", _upright(size, orientation), orientation, held_bytes=held)


def _vp8_size(body: bytes) -> Size:
    if len(body) < 10 or body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":  # not a key frame
        raise no_header("WEBP")
    return Size(int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF)


def _vp8l_size(body: bytes) -> Size:
    if len(body) < 5 or body[0] != 0x2F:
        raise no_header("WEBP")
    bits = int.from_bytes(body[1:5], "little")
    return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)


def _webp_orientation(data: bytes) -> int:
    for kind, begin, end in riff_chunks(data, 12, len(data)):
        if kind == b"EXIF":
            return exif_orientation(data[begin + 8 : end].removeprefix(b"Exif\0\0"))
    return 1
