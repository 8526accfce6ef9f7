"""Which pictures are decoded, and when: as many bytes as that takes must be free, and large ones go one at a time.

Rules of this file:
- What decoding takes is computed from the header, before it begins (`decode.peak_bytes`).
- What is free is read when it is needed: a reading of a second ago knows nothing of the frames since.
- As much again stays free, up to 64 MB: for frames that come and are decoded meanwhile, and for what the prediction
  misses.
- What cameras send, a baseline JPEG, is let in without asking. Unknown room refuses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance import heap
from appliance.errors import BadFrame
from appliance.values import LARGE_BYTES, Picture, Size
from appliance.vision import decode

_UNASKED_BYTES = 16_000_000
_KEPT_BYTES = 64_000_000


class Admission:
    """Lets pictures be decoded. `room_bytes`: memory that can still be taken; None: unknown."""

    def __init__(self, room_bytes: Callable[[], int | None] = lambda: None) -> None:
        self._room_bytes = room_bytes
        self._large = threading.Lock()

    @contextmanager
    def admitted(self, picture: Picture, at_least: Size) -> Iterator[None]:
        """Enter this while a picture is decoded for this size. Waits while another large one is.

        Raises BadFrame image_too_large when memory does not suffice.
        """
        need = decode.peak_bytes(picture, at_least)
        if need <= _UNASKED_BYTES:
            yield
            return
        if not picture.large and need <= 2 * LARGE_BYTES:
            self._check(picture, need)
            yield
            return
        with self._large:
            self._check(picture, need)
            try:
                yield
            finally:
                heap.trim()  # up to 160 MB, which the next large picture might not get on another thread

    def _check(self, picture: Picture, need: int) -> None:
        room, kept = self._room_bytes(), min(need, _KEPT_BYTES)
        if room is not None and need + kept > room:
            raise _too_large(picture, need, max(0, room - kept))


def _too_large(picture: Picture, need: int, usable: int) -> BadFrame:
    size = picture.size
    advice = "send it as a baseline JPEG, which is decoded at a smaller size, or with fewer pixels"
    return BadFrame(
        f"decoding this {picture.format.upper()} of {size.width}x{size.height} pixels takes {need / 1e6:.0f} MB of "
        f"memory, and {usable / 1e6:.0f} MB can be used for it now; {advice}",
        "image_too_large",
    )
