"""Keep optional tasks running: one that fails does not end the service.

Rules of this file:
- Tasks that frames need are started by `run.py` directly: if one fails, the service ends and systemd restarts it. All
  others run here: a failure is logged with its traceback, reported in `/health`, and the task restarts after a pause
  that doubles.
- Faults of one client or one frame never get this far: their own handler ends them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from appliance.ports import Clock

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_STANDS_S = 2 * _LONGEST_PAUSE_S
"""A task that has not failed again for this long counts as working."""


class Spare:
    """Runs optional tasks and remembers which of them fail."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[float, str]] = {}
        """When each task failed last, and why."""

    @property
    def problem(self) -> str | None:
        """Which tasks are failing, and why; None: all work."""
        now_s = self._clock()
        standing = [f"{name}: {why}" for name, (at_s, why) in self._failed.items() if now_s - at_s < _STANDS_S]
        return "; ".join(standing) or None

    async def keep(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Run a task until it returns; restart it after each failure."""
        pause_s = _FIRST_PAUSE_S
        while True:
            begun_s = self._clock()
            try:
                return await part()
            except Exception as error:
                why = _reason(error)
                log.exception(
                    "%s failed and will be restarted; the service keeps running: %s", name, why,
                    extra={"kind": "part", "code": "part_failed", "reason": why},
                )  # fmt: skip
                self._failed[name] = self._clock(), why
            if self._clock() - begun_s > _STANDS_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)


def _reason(error: BaseException) -> str:
    """The first error of an exception group, in one line."""
    while (inner := getattr(error, "exceptions", None)) is not None:
        error = inner[0]
    return f"{type(error).__name__}: {error}"[:200]
