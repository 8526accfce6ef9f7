"""A command that is run when a class is seen: one at a time, no more often than every so many seconds.

It gets the answer as JSON on its standard input. While it runs, and until its time has come again, what is seen counts
for nothing: a lamp that is on need not be switched on.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from subprocess import PIPE

import anyio

from appliance.errors import ConfigError
from appliance.ports import Clock

log = logging.getLogger(__name__)

_ENDS_WITHIN_S = 60.0


class Trigger:
    """Runs `command` when one of `classes` is seen. Raises ConfigError when there is no such command."""

    def __init__(
        self,
        classes: Sequence[str],
        command: Sequence[str],
        *,
        every_s: float,
        ends_within_s: float = _ENDS_WITHIN_S,
        clock: Clock = time.monotonic,
    ) -> None:
        if not command or shutil.which(command[0]) is None:
            raise ConfigError(f"--on: there is no command '{command[0] if command else ''}' that can be run; "
                              "write --on person -- /path/to/command")  # fmt: skip
        self._classes, self._command = frozenset(classes), tuple(command)
        self._every_s, self._ends_within_s, self._clock = every_s, ends_within_s, clock
        self._not_before_s = float("-inf")
        self._pending: bytes | None = None
        self._news = asyncio.Event()

    def offer(self, names: Sequence[str], answer: bytes) -> bool:
        """Something was seen; whether that starts the command. Returns at once."""
        now_s = self._clock()
        if self._pending is not None or now_s < self._not_before_s or self._classes.isdisjoint(names):
            return False
        self._not_before_s = now_s + self._every_s
        self._pending = answer
        self._news.set()
        return True

    async def run(self) -> None:
        """Run what is offered, until cancelled; a command that is running then is ended."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._pending is not None:
                try:
                    await self._run(self._pending)
                except OSError as error:
                    log.warning("%s cannot be run: %s", self._command[0], error.strerror, extra={"kind": "trigger"})
                finally:
                    self._pending = None

    async def _run(self, answer: bytes) -> None:
        with anyio.CancelScope(shield=True):
            process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE)
        try:
            await asyncio.wait_for(process.communicate(answer + b"\n"), self._ends_within_s)
            if process.returncode:
                log.warning("%s ended with status %d", self._command[0], process.returncode, extra={"kind": "trigger"})
        except asyncio.TimeoutError:
            log.warning("%s was ended: it ran longer than %.0f s", self._command[0], self._ends_within_s)
        finally:
            if process.returncode is None:
                process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()
