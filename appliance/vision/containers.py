"""The segments of a JPEG, the chunks of a PNG or a WebP, and the orientation in an EXIF note: nothing is decoded.

Every loop is bounded, and so is what is searched for the next segment.

Sources: ITU-T T.81 annex B (JPEG), W3C PNG third edition, RFC 9649 (WebP), CIPA DC-008 (EXIF).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from appliance.errors import BadFrame

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 100_000
"""Of a PNG: libpng writes one for each 8 kB."""
MOST_SEGMENTS = 1000
"""Read for a header, and in a WebP: an ICC profile or a maker note may fill some hundred segments of a JPEG."""
_MOST_BETWEEN = 65_536
"""Stray bytes between two segments of a JPEG."""
_MOST_ENTRIES = 500
"""Of an EXIF directory that are searched; cameras write about twenty."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}
"""Without a length: TEM, RST0-7, SOI."""
SOS, EOI, APP1 = 0xDA, 0xD9, 0xE1


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where it begins, where its content ends) up to the first scan. What lies between two is skipped, as
    libjpeg does. Raises BadFrame image_corrupt when there is no scan.
    """
    at = 2
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(data, at, at + _MOST_BETWEEN)
        if found is None or (marker := data[found.start() + 1]) == EOI:
            break
        begin, at = found.start(), found.end()
        if marker in _BARE_MARKERS:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if at > len(data) or at < found.end() + 2:
            break
        yield marker, begin, at
        if marker == SOS:
            return
    raise no_header("JPEG")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, where it begins, where it ends), as far as they are whole."""
    at = len(PNG_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            return
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        yield data[at + 4 : at + 8], at, end
        at = end


def webp_bitstream(data: bytes) -> tuple[int, int]:
    """Where the coded picture begins and ends, with its chunk's header: the only one, or an animation's first.

    Raises BadFrame image_corrupt.
    """
    coded = (b"VP8 ", b"VP8L")
    chunks = riff_chunks(data, 12, len(data))
    kind, begin, end = next((one for one in chunks if one[0] in (*coded, b"ANMF")), (b"", 0, 0))
    if kind == b"ANMF":
        chunks = riff_chunks(data, begin + 24, end)
        kind, begin, end = next((one for one in chunks if one[0] in coded), (b"", 0, 0))
    if not kind:
        raise BadFrame("damaged WEBP picture: its pixels are missing or cut off", "image_corrupt")
    return begin, end


def riff_chunks(data: bytes, at: int, until: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, where it begins, where its content ends), as far as they are whole; each begins at an even place."""
    for _ in range(MOST_SEGMENTS):
        if at + 8 > until:
            return
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > until:
            return
        yield data[at : at + 4], at, end
        at = end + (end & 1)


def exif_orientation(tiff: bytes) -> int:
    """1 where the note does not say, or is broken: a broken note does not spoil the picture."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for number in range(min(entries, _MOST_ENTRIES)):
            tag, kind, _, value, wide = struct.unpack_from(f"{order}HHIHH", tiff, at + 2 + 12 * number)
            if tag == 0x0112:
                if kind == 4 and order == ">":  # 32 bits
                    value = wide
                return value if kind in (3, 4) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def no_header(kind: str) -> BadFrame:
    return BadFrame(f"begins like a {kind} picture but has no readable header", "image_corrupt")
