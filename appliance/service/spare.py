"""Parts that the service goes on without.

Rules of this file:
- The tasks that a frame cannot do without (`run.serve` starts them itself) end the service when they fail, and systemd
  starts it again. All others are started here: what fails is logged with its traceback, reported by `/health`, and
  started again after a pause that doubles.
- What one client sent, or one frame, never comes this far: its own handler ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from appliance.ports import Clock

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_STANDS_S = 2 * _LONGEST_PAUSE_S
"""A part that has not failed again for so long works."""


class Spare:
    """Keeps such parts running."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[float, str]] = {}
        """By part: when it failed last, and why."""

    @property
    def problem(self) -> str | None:
        """Which parts fail, and why; None: all work."""
        now_s = self._clock()
        standing = [f"{name}: {why}" for name, (at_s, why) in self._failed.items() if now_s - at_s < _STANDS_S]
        return "; ".join(standing) or None

    async def keep(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part until it ends by itself; again after each failure."""
        pause_s = _FIRST_PAUSE_S
        while True:
            begun_s = self._clock()
            try:
                return await part()
            except Exception as error:
                why = _reason(error)
                log.exception(
                    "%s failed; the service goes on and starts it again: %s", name, why,
                    extra={"kind": "part", "code": "part_failed", "reason": why},
                )  # fmt: skip
                self._failed[name] = self._clock(), why
            if self._clock() - begun_s > _STANDS_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)


def _reason(error: BaseException) -> str:
    """The first error of a group, in a few words."""
    while (inner := getattr(error, "exceptions", None)) is not None:
        error = inner[0]
    return f"{type(error).__name__}: {error}"[:200]
