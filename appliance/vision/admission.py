"""Memory admission for decoding: an image is decoded when enough memory is free, and large ones one at a time.

Rules of this file:
- The memory for decoding is computed from the header before it starts (`decode.peak_bytes`).
- Free memory is read at that moment, because a reading from a second ago misses the frames since.
- The same amount again, up to 64 MB, stays free for other frames in the meantime and for errors of the prediction.
- No image may take more than 200 MB: only a WebP above 32 megapixels does.
- Usual camera images, baseline JPEGs, are admitted without a check. When free memory is unknown, nothing is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance import heap
from appliance.errors import BadFrame
from appliance.values import LARGE_BYTES, Picture, Size
from appliance.vision import decode

_UNCHECKED_BYTES = 16_000_000
_RESERVE_BYTES = 64_000_000
_MOST_BYTES = 200_000_000


class Admission:
    """Admits images to decoding. `room_bytes` returns the memory that is still available; None: unknown."""

    def __init__(self, room_bytes: Callable[[], int | None] = lambda: None) -> None:
        self._room_bytes = room_bytes
        self._large = threading.Lock()

    @contextmanager
    def admitted(self, picture: Picture, at_least: Size) -> Iterator[None]:
        """Hold this context while an image is decoded to this size. A large image waits for another large one.

        Raises BadFrame image_too_large when there is not enough memory.
        """
        need = decode.peak_bytes(picture, at_least)
        if need > _MOST_BYTES:
            raise _too_large(picture, need, f"at most {_MOST_BYTES / 1e6:.0f} MB may be used for one image")
        if need <= _UNCHECKED_BYTES:
            yield
            return
        if not picture.large and need <= 2 * LARGE_BYTES:
            self._check(picture, need)
            yield
            return
        with self._large:
            heap.trim()  # what was freed elsewhere counts as available only once it is returned
            self._check(picture, need)
            try:
                yield
            finally:
                heap.trim()  # up to 160 MB that another thread could not reuse

    def _check(self, picture: Picture, need: int) -> None:
        room, reserve = self._room_bytes(), min(need, _RESERVE_BYTES)
        if room is not None and need + reserve > room:
            raise _too_large(picture, need, f"only {max(0, room - reserve) / 1e6:.0f} MB is available")


def _too_large(picture: Picture, need: int, why: str) -> BadFrame:
    size = picture.size
    advice = "send a baseline JPEG, which is decoded at a reduced size, or an image with fewer pixels"
    return BadFrame(
        f"decoding this {picture.format.upper()} of {size.width}x{size.height} pixels takes {need / 1e6:.0f} MB of "
        f"memory, but {why}; {advice}",
        "image_too_large",
    )
