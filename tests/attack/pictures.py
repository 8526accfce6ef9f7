"""Pictures: a valid one, and some that are small to send and expensive to decode."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

from PIL import Image

from appliance.values import Size
from appliance.vision import decode, scene

Image.MAX_IMAGE_PIXELS = None


@cache
def camera_picture(width: int = 1280) -> bytes:
    """The drawn street with its STOP sign as a JPEG."""
    pixels, _ = scene.draw(Size(width, width * 9 // 16))
    return decode.encode_jpeg(pixels, 80)


@cache
def flat(kind: str, width: int, height: int, mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.new(mode, (width, height)).save(file, kind, **options)
    return file.getvalue()


@cache
def png_with_texts(chunks: int, each: int) -> bytes:
    """A small PNG whose text chunks inflate to `each` bytes."""
    whole = flat("PNG", 64, 64)
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(each), 9))
    at = 8 + 25  # signature and IHDR
    return whole[:at] + text * chunks + whole[at:]


@cache
def png_that_lies(width: int, height: int) -> bytes:
    """A truncated PNG with a header for 16 bits and four channels per pixel."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(1000)))


@cache
def jpeg_with_scans(scans: int, side: int) -> bytes:
    """A grey progressive JPEG with many scans. Each scan makes the decoder visit all blocks, for 80 bytes (ITU-T T.81,
    G.1.2).

    Its only Huffman code is a single 0: no difference for DC, the end of 16,384 blocks for AC.
    """
    blocks = (side // 8) ** 2
    tables = b"".join(
        _segment(0xC4, bytes([kind, 1]) + bytes(15) + bytes([symbol])) for kind, symbol in ((0x00, 0), (0x10, 0xE0))
    )
    dc = _segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(blocks // 8 + 1)
    ac = _segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + bytes((blocks // 16384 + 1) * 15 // 8 + 1)
    size = struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0])
    start = b"\xff\xd8" + _segment(0xDB, bytes([0]) + bytes([1] * 64)) + _segment(0xC2, size) + tables
    return start + dc + ac * (scans - 1) + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
