"""What a source is: it hands over one picture each time it is asked for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appliance.values import CameraLimits

PATIENCE_S = 5.0
"""A source that has no picture for so long says so, and is asked again."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture as a source hands it over."""

    picture: bytes
    """JPEG, PNG or WebP."""
    taken_s: float
    """When its light fell on the sensor, as well as the source knows; monotonic."""


class Source(Protocol):
    """Gives a camera agent its pictures. `take` is called from one thread, `close` from any."""

    def take(self, limits: CameraLimits) -> Shot | None:
        """The newest picture, made as these limits ask.

        Blocks until there is one; None when none came within about `PATIENCE_S`. Raises SourceError when none will.
        """

    def close(self) -> None:
        """Let go of the device as soon as a `take` that is under way has come back; one that waits comes back now."""
