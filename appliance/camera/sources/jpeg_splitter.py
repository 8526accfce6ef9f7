"""Split a byte stream into JPEG pictures.

Cameras differ in everything around a picture: the position of the boundary, the type and length of a part, whether
there are parts at all. A JPEG marks its own start and end, so only those are read (ITU-T T.81, annex B).

Rules of this file:
- Segments are skipped by their length, so that a thumbnail in a header does not count as a picture.
- A picture without an end marker ends at the start of the next one, or with the stream.
- A damaged picture is dropped alone, and so is one that never ends: the next one may have begun within it. A few starts
  within it are tried, not all, since each attempt reads the same bytes again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_BYTES = 30_000_000
"""Larger pictures are dropped. A JPEG of 108 megapixels has about 25 MB."""

_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker in compressed data other than byte stuffing, restart markers and fill bytes."""
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""
_MOST_ATTEMPTS = 4
"""Starts that are tried within a damaged picture: thumbnails have some, and the next picture one."""


class JpegSplitter:
    """Accepts chunks of any size and yields the pictures that they complete."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._data = bytearray()
        self._at = 0
        """Parse position in the picture at the start of the buffer; 0: no picture has started."""
        self._in_scan = False
        self._read = 0
        """How far damaged pictures before this one were read, in the buffer."""
        self._attempts = 0
        """Damaged pictures in a row that began in what was read."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add bytes; yield the pictures that are now complete."""
        self._data += data
        while self._find():
            end = self._end()
            if end is None and len(self._data) <= self._max_bytes:
                return
            if end:
                yield bytes(self._data[:end])
                self._drop(end)
            else:
                self._skip()

    def rest(self) -> bytes | None:
        """At the end of the stream: the last picture, if only its end marker is missing."""
        return bytes(self._data) if self._find() and self._end() is None and self._in_scan else None

    def _skip(self) -> None:
        """Drop the damaged picture at the start, and after some attempts all that was read in vain."""
        self._attempts = self._attempts + 1 if self._read else 1
        self._read = max(self._read, self._at)
        self._drop(2 if self._attempts <= _MOST_ATTEMPTS else self._read)  # the third byte may begin the next one

    def _drop(self, count: int) -> None:
        self._cut(count)
        self._at, self._in_scan = 0, False

    def _cut(self, count: int) -> None:
        del self._data[:count]
        self._read = max(0, self._read - count)

    def _find(self) -> bool:
        """Discard bytes before the start of the next picture; return whether there is one."""
        if self._at:
            return True
        begin = self._data.find(_START)
        if begin < 0:
            self._cut(max(0, len(self._data) - len(_START) + 1))
            return False
        self._cut(begin)
        self._at, self._in_scan = 2, False
        return True

    def _end(self) -> int | None:
        """End of the picture at the start of the buffer. None: not yet known. 0: the picture is damaged."""
        data = self._data
        while True:
            if self._in_scan:
                marker_match = _MARKER.search(data, self._at)
                if marker_match is None:
                    self._at = max(self._at, len(data) - 1)
                    return None
                self._at = marker_match.start()
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
