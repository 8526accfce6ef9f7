"""Bytes as they arrive -> the JPEG pictures in them.

Cameras disagree about everything around a picture: where the boundary stands, which type and length a part has, whether
there are parts at all. A JPEG says itself where it begins and ends, so nothing else is read (ITU-T T.81, annex B).

Rules of this file:
- Segments are skipped by their length: the thumbnail in a header is not taken for a picture.
- A picture without an end marker ends where the next one begins, or with the stream.
- Damage costs the picture it is in, and a picture that never ends is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST_BYTES = 30_000_000
"""A picture larger than this is dropped: 108 megapixels as JPEG have about 25 MB."""

_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In compressed data: whatever is neither a stuffed byte, a restart marker nor fill."""
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""


class JpegSplitter:
    """Feed it bytes in pieces of any size; it gives back the pictures that they complete."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._data = bytearray()
        self._at = 0
        """How far the picture at the front has been read; 0: none has begun."""
        self._in_scan = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pictures that are complete with these bytes."""
        self._data += data
        while self._find():
            end = self._end()
            if end is None:
                if len(self._data) > self._most_bytes:
                    self._drop(len(_START))
                    continue
                return
            if end:
                yield bytes(self._data[:end])
            self._drop(end or len(_START))

    def rest(self) -> bytes | None:
        """The picture whose end marker never came, when the stream has ended in its compressed data."""
        return bytes(self._data) if self._find() and self._end() is None and self._in_scan else None

    def _drop(self, count: int) -> None:
        del self._data[:count]
        self._at, self._in_scan = 0, False

    def _find(self) -> bool:
        """Bring the beginning of a picture to the front."""
        if self._at:
            return True
        begin = self._data.find(_START)
        if begin < 0:
            del self._data[: max(0, len(self._data) - len(_START) + 1)]
            return False
        del self._data[:begin]
        self._at, self._in_scan = 2, False
        return True

    def _end(self) -> int | None:
        """Where the picture at the front ends; None: not yet known; 0: it is damaged."""
        data = self._data
        while True:
            if self._in_scan:
                found = _MARKER.search(data, self._at)
                if found is None:
                    self._at = max(self._at, len(data) - 1)
                    return None
                self._at = found.start()
                if data[self._at + 1] == _SOI:
                    return self._at
            if len(data) < self._at + 4:
                return self._at + 2 if data[self._at : self._at + 2] == b"\xff\xd9" else None
            if data[self._at] != 0xFF or data[self._at + 1] in (0x00, _SOI):
                return 0
            marker = data[self._at + 1]
            if marker == _EOI:
                return self._at + 2
            if marker == 0xFF:
                self._at += 1
            elif marker in _ALONE:
                self._at += 2
            else:
                length = int.from_bytes(data[self._at + 2 : self._at + 4], "big")
                if length < 2:
                    return 0
                if len(data) < self._at + 2 + length:
                    return None
                self._at += 2 + length
                self._in_scan = marker == _SOS
