"""Pictures held in memory within a limit: the latest of each camera, the best of each event."""

from __future__ import annotations

from collections.abc import Callable

from appliance.values import Frame

MAX_BYTES = 32_000_000
"""All pictures together: thirty of 1 MB, which a board with 1 GB of memory can spare."""


class Pictures:
    """One picture for each key. At the limit, the picture that was replaced the longest time ago is dropped."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._frames: dict[str, Frame] = {}
        self._bytes = 0

    def put(self, key: str, frame: Frame) -> None:
        self.drop(key)
        self._frames[key] = frame  # the newest at the end
        self._bytes += len(frame.picture.data)
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._frames)))

    def get(self, key: str) -> Frame | None:
        return self._frames.get(key)

    def drop(self, key: str) -> None:
        frame = self._frames.pop(key, None)
        if frame is not None:
            self._bytes -= len(frame.picture.data)

    def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Drop the pictures of all keys for which `wanted` is false."""
        for key in [key for key in self._frames if not wanted(key)]:
            self.drop(key)
