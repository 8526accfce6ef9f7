"""What a source is: it hands over one picture each time it is asked for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from appliance.values import CameraLimits

PATIENCE_S = 5.0
"""A source that has no picture for so long says so, and is asked again."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One picture as a source hands it over."""

    picture: bytes
    """JPEG, PNG or WebP."""
    taken_s: float
    """When its light fell on the sensor, as well as the source knows; monotonic."""


class Source(Protocol):
    """Gives a camera agent its pictures. `take` is called from one thread, `close` from any."""

    def take(self, limits: CameraLimits) -> Capture | None:
        """The newest picture, made as these limits ask.

        Blocks until there is one; None when none came within about `PATIENCE_S`. Raises SourceError when none will.
        """

    def close(self) -> None:
        """Let go of the device as soon as a `take` that is under way has come back; one that waits comes back now."""


class StreamFrame(Protocol):
    """A picture on its way."""

    @property
    def at_s(self) -> float | None:
        """Its time in the stream, s; None: not known."""

    def to_jpeg(self, limits: CameraLimits) -> bytes:
        """The picture as these limits ask."""


WaitUntilRequested = Callable[[], bool]
"""Blocks until somebody wants a picture; False when none will be wanted any more."""


class Stream(Protocol):
    """An open live camera."""

    def frames(self, wanted: WaitUntilRequested) -> Iterator[StreamFrame]:
        """Its pictures, to its end. `wanted` is called before a picture that costs a request of its own.

        Raises SourceError when it breaks off.
        """

    def close(self) -> None:
        """Let go of the camera."""


class Camera(Protocol):
    """What a live source opens, and opens again."""

    def open(self) -> Stream:
        """Raises SourceError."""
