"""Protocols of picture sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from appliance.values import CameraLimits

PATIENCE_S = 5.0
"""A `take` without a picture returns None after this time, and the agent calls it again."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One picture from a source."""

    picture: bytes
    """JPEG, PNG or WebP."""
    taken_s: float
    """Capture time as precisely as the source knows it; monotonic."""


class Source(Protocol):
    """A source of pictures. `take` is called from one thread, `close` from any thread."""

    def take(self, limits: CameraLimits) -> Capture | None:
        """Return the newest picture within these limits.

        Blocks for about `PATIENCE_S` at most, then returns None. Raises SourceError if no picture will follow.
        """

    def close(self) -> None:
        """Release the device after a running `take` has returned; a `take` that waits returns at once."""


class StreamFrame(Protocol):
    """A frame of a stream, not yet encoded for sending."""

    @property
    def at_s(self) -> float | None:
        """Time in the stream, s; None: unknown."""

    def to_jpeg(self, limits: CameraLimits) -> bytes:
        """Encode the frame as JPEG within these limits."""


WaitUntilRequested = Callable[[], bool]
"""Blocks until the agent requests a picture; returns False after the source is closed."""


class Stream(Protocol):
    """An open live camera."""

    def frames(self, wait_until_requested: WaitUntilRequested) -> Iterator[StreamFrame]:
        """Yield frames to the end of the stream.

        Calls `wait_until_requested` before a frame that requires its own HTTP request. Raises SourceError if the stream
        breaks off.
        """

    def close(self) -> None:
        """Release the camera."""


class LiveCamera(Protocol):
    """A camera that a live source can open repeatedly."""

    def open(self) -> Stream:
        """Open the camera. Raises SourceError."""
