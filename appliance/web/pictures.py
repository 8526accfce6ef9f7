"""The latest answered picture of each camera, within a memory limit."""

from __future__ import annotations

from collections.abc import Callable

from appliance.values import Frame

MAX_BYTES = 32_000_000
"""All pictures together: thirty of 1 MB, which a board with 1 GB of memory can spare."""


class Pictures:
    """One picture per camera. At the limit, the picture that was replaced the longest time ago is dropped."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._frames: dict[str, Frame] = {}
        self._bytes = 0

    def put(self, frame: Frame) -> None:
        self.drop(frame.camera)
        self._frames[frame.camera] = frame  # the newest at the end
        self._bytes += len(frame.picture.data)
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._frames)))

    def get(self, camera: str) -> Frame | None:
        return self._frames.get(camera)

    def drop(self, camera: str) -> None:
        frame = self._frames.pop(camera, None)
        if frame is not None:
            self._bytes -= len(frame.picture.data)

    def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Drop the pictures of all cameras for which `wanted` is false."""
        for camera in [camera for camera in self._frames if not wanted(camera)]:
            self.drop(camera)
