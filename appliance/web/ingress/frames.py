"""Meters incoming websocket frames (RFC 6455, section 5.2) without keeping their payload.

aiohttp's websocket reader buffers a message until it is complete, and does not expose it before. This meter reads the
same bytes first: the length of the message, whether it is complete, and the number of control frames.
"""

from __future__ import annotations

_FIN, _COMPRESSED, _OPCODE = 0x80, 0x40, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_FIRST_CONTROL = 0x8
_FRAGMENTS, _FRAGMENT_BYTES = 64, 512
"""A message may have 64 fragments, and one more for each 512 bytes. Browsers send fragments of 16 kB and more."""
_CONTROLS_AT_ONCE = 1000


class FrameMeter:
    """Frame state of one connection; accepts its bytes in pieces of any size."""

    __slots__ = ("_control", "_fin", "_fragments", "_head", "_left", "announced", "compressed", "controls",
                 "fragmented", "longest", "messages", "unfinished")  # fmt: skip

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._fin = self._control = False
        self.unfinished = 0
        """Bytes received of the incomplete message, with frame headers: many empty fragments have a cost too."""
        self.announced = 0
        """Length of the current message according to the frame headers so far; 0 between messages."""
        self.longest = 0
        """The longest message announced since the last `feed` began."""
        self.compressed = False
        """Whether a message of the last `feed`, or the current one, is compressed."""
        self._fragments = 0
        self.fragmented = False
        """Whether a message has far more fragments than its length justifies; each costs as much as a frame."""
        self.controls = 0
        """Pings, pongs and closes in total."""
        self.messages = 0
        """Complete messages in total."""

    @property
    def frame_left(self) -> int:
        """Bytes of the current frame that have not arrived."""
        return self._left

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Account for the next bytes."""
        view = memoryview(data)
        self.longest = self.announced
        self.compressed = self.compressed and bool(self.announced)
        controls = self.controls
        while view:
            if self._left:
                taken = min(self._left, len(view))
                self._left -= taken
                view = view[taken:]
                if not self._control:
                    self.unfinished += taken
            else:
                view = self._read_head(view)
                if self._head:
                    return  # the rest of the header has not arrived yet
            if not self._left:
                self._end_frame()
            if self.fragmented or self.controls - controls > _CONTROLS_AT_ONCE:
                return  # the connection will be closed, so the rest does not matter

    def _read_head(self, view: memoryview) -> memoryview:
        while view:
            missing = self._head_size() - len(self._head)
            self._head += view[:missing]
            view = view[missing:]
            if len(self._head) == self._head_size():
                self._begin_frame()
                break
        return view

    def _head_size(self) -> int:
        """Bytes of the header; before its length is known, of the part that says it."""
        if len(self._head) < 2:
            return 2
        second = self._head[1]
        return 2 + {126: 2, 127: 8}.get(second & _LENGTH, 0) + (4 if second & _MASKED else 0)

    def _begin_frame(self) -> None:
        first, length = self._head[0], self._head[1] & _LENGTH
        if length >= 126:
            length = int.from_bytes(self._head[2 : 4 if length == 126 else 10], "big")
        self._fin, self._control = bool(first & _FIN), first & _OPCODE >= _FIRST_CONTROL
        self._left = length
        if not self._control:
            self.unfinished += len(self._head)
            self.announced += len(self._head) + length
            self.longest = max(self.longest, self.announced)
            self._fragments += 1
            self.fragmented = self._fragments > _FRAGMENTS + self.announced // _FRAGMENT_BYTES
            self.compressed = self.compressed or bool(first & _COMPRESSED)
        self._head.clear()

    def _end_frame(self) -> None:
        if self._control:
            self.controls += 1
        elif self._fin:
            self.messages += 1
            self.unfinished = self.announced = self._fragments = 0
