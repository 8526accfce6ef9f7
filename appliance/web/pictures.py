"""The newest answered picture of each camera, within a bound."""

from __future__ import annotations

from collections.abc import Callable

from appliance.values import Frame

MOST_BYTES = 32_000_000
"""Of all pictures together: thirty of 1 MB; and a board of 1 GB can spare it."""


class Pictures:
    """One picture a camera. Where they do not all fit, the one that was replaced longest ago goes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._frames: dict[str, Frame] = {}
        self._bytes = 0

    def put(self, frame: Frame) -> None:
        self.drop(frame.camera)
        self._frames[frame.camera] = frame  # at the end: the newest
        self._bytes += len(frame.picture.data)
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._frames)))

    def get(self, camera: str) -> Frame | None:
        return self._frames.get(camera)

    def drop(self, camera: str) -> None:
        frame = self._frames.pop(camera, None)
        if frame is not None:
            self._bytes -= len(frame.picture.data)

    def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Drop the pictures of cameras that nobody wants any more."""
        for camera in [camera for camera in self._frames if not wanted(camera)]:
            self.drop(camera)
