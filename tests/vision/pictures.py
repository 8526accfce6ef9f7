"""Encoded images of one known drawing, for the decoding tests."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112


def drawing(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: smooth, so that JPEG keeps it, and different in all four corners."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1), 160 - 120 * x / max(1, width - 1)
    return np.stack((red, green, blue), axis=2).astype(np.uint8)


def image(mode: str = "RGB", width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(drawing(width, height)).convert(mode)


def encode(picture: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


def turned(orientation: int, format_: str, mode: str = "RGB", width: int = 64, height: int = 48) -> bytes:
    """The drawing with an EXIF orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(image(mode, width, height), format_, exif=exif, quality=95)


def grey_16_bits() -> bytes:
    """A PNG of 16 bits a pixel whose upper 8 are the drawing's red channel."""
    return encode(Image.fromarray(drawing()[:, :, 0].astype(np.uint16) * 256 + 77), "PNG")


def png_header(width: int, height: int) -> bytes:
    """A PNG with this size in its header and hardly any pixel data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int, **options: object) -> bytes:
    """A small JPEG with this size in its header."""
    data = bytearray(encode(image(), "JPEG", **options))
    frame = data.find(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    """A small WebP in an extended container with a canvas of this size."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<II", 10, 0) + canvas + encode(image(), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


WHOLE_WEBP_BOMB = bytes.fromhex("524946461a000000574542505650384c0e0000002ffebfff0f071011fd0f4444ff03")
"""16383x16383 pixels of one colour, whole and valid: `Image.new("RGB", (16383, 16383)).save(…, lossless=True)`."""


def corpus() -> list[bytes]:
    """A valid file of every supported kind."""
    return [
        *(encode(image(), "JPEG", subsampling=number) for number in (0, 1, 2)),
        encode(image("L"), "JPEG"),
        encode(image("CMYK"), "JPEG"),
        encode(image(), "JPEG", progressive=True),
        *(turned(6, format_) for format_ in ("JPEG", "PNG", "WEBP")),
        *(encode(image(mode), "PNG") for mode in ("RGB", "RGBA", "P", "1")),
        grey_16_bits(),
        encode(image(), "WEBP"),
        encode(image("RGBA"), "WEBP", lossless=True),
    ]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunks(data: bytes, *chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """A PNG with these chunks inserted before the first chunk of this type."""
    at = data.find(before) - 4
    return data[:at] + b"".join(chunks) + data[at:]


def png_of_notes(count: int, each: int = 1_000_000) -> bytes:
    """A small PNG with compressed text (zTXt) that inflates to a thousand times its size."""
    note = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(each), 9))
    return with_png_chunks(encode(image(), "PNG"), *[note] * count)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def exif(orientation: int, order: str = ">") -> bytes:
    """An EXIF segment with only this orientation."""
    tiff = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}I", 8)
    entry = struct.pack(f"{order}HHIHH", ORIENTATION, 3, 1, orientation, 0)
    return tiff + struct.pack(f"{order}H", 1) + entry + bytes(4)


def with_scans(data: bytes, count: int) -> bytes:
    """A progressive JPEG with this many scans, by repeating its last one."""
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda\x00")) + data[-2:]
