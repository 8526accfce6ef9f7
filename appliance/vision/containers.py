"""Parsers for JPEG segments, PNG and WebP chunks, and the EXIF orientation. Nothing is decoded.

Every loop is bounded, and so is the search for the next segment.

Sources: ITU-T T.81 annex B (JPEG), W3C PNG third edition, RFC 9649 (WebP), CIPA DC-008 (EXIF).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from appliance.errors import BadFrame

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 100_000
"""In a PNG; libpng writes one for every 8 kB."""
MAX_SEGMENTS = 1000
"""In a JPEG header or a WebP; an ICC profile or maker note may fill some hundred segments of a JPEG."""
_MAX_BETWEEN = 65_536
"""Stray bytes between two JPEG segments."""
_MAX_ENTRIES = 500
"""Searched in an EXIF directory; cameras write about twenty."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, RST0-7, SOI."""
SOS, EOI, APP1 = 0xDA, 0xD9, 0xE1


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, begin, end) of each segment up to the first scan.

    Stray bytes between segments are skipped, as in libjpeg. Raises BadFrame image_corrupt when there is no scan.
    """
    at = 2
    for _ in range(MAX_SEGMENTS):
        prefix = _MARKER.search(data, at, at + _MAX_BETWEEN)
        if prefix is None or (marker := data[prefix.start() + 1]) == EOI:
            break
        begin, at = prefix.start(), prefix.end()
        if marker in _BARE_MARKERS:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if at > len(data) or at < prefix.end() + 2:
            break
        yield marker, begin, at
        if marker == SOS:
            return
    raise no_header("JPEG")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, begin, end) of each complete chunk."""
    at = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            return
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        yield data[at + 4 : at + 8], at, end
        at = end


def webp_bitstream(data: bytes) -> tuple[int, int]:
    """Begin and end of the image's bitstream chunk; of the first frame in an animation.

    Raises BadFrame image_corrupt.
    """
    coded = (b"VP8 ", b"VP8L")
    chunks = riff_chunks(data, 12, len(data))
    kind, begin, end = next((one for one in chunks if one[0] in (*coded, b"ANMF")), (b"", 0, 0))
    if kind == b"ANMF":
        chunks = riff_chunks(data, begin + 24, end)
        kind, begin, end = next((one for one in chunks if one[0] in coded), (b"", 0, 0))
    if not kind:
        raise BadFrame("damaged WEBP image: the pixel data is missing or truncated", "image_corrupt")
    return begin, end


def riff_chunks(data: bytes, at: int, until: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, begin, end of content) of each complete chunk. Chunks are aligned to two bytes."""
    for _ in range(MAX_SEGMENTS):
        if at + 8 > until:
            return
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > until:
            return
        yield data[at : at + 4], at, end
        at = end + (end & 1)


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1-8. 1 if it is missing or the metadata is damaged, which does not make the image invalid."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for number in range(min(entries, _MAX_ENTRIES)):
            tag, kind, _, value, wide = struct.unpack_from(f"{order}HHIHH", tiff, at + 2 + 12 * number)
            if tag == 0x0112:
                if kind == 4 and order == ">":  # 32 bits
                    value = wide
                return value if kind in (3, 4) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def no_header(kind: str) -> BadFrame:
    """The error for a file with the signature of this format and no valid header."""
    return BadFrame(f"damaged {kind} image: no valid header", "image_corrupt")
