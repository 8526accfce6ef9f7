"""Run a command when a class is detected: one at a time, with a minimum interval between starts.

The command gets the result as JSON on standard input. Detections are ignored while it runs and during the interval: a
light that is on does not have to be switched on.
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
    """Runs `command` when one of `classes` is detected. Raises ConfigError if the command does not exist."""

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
            raise ConfigError(f"--on: command '{command[0] if command else ''}' not found or not executable. "
                              "Write --on person -- /path/to/command")  # fmt: skip
        self._classes, self._command = frozenset(classes), tuple(command)
        self._every_s, self._ends_within_s, self._clock = every_s, ends_within_s, clock
        self._not_before_s = float("-inf")
        self._pending: bytes | None = None
        self._offered = asyncio.Event()

    def offer(self, names: Sequence[str], result: bytes) -> bool:
        """Report detected classes; return whether they start the command. Returns at once."""
        now_s = self._clock()
        if self._pending is not None or now_s < self._not_before_s or self._classes.isdisjoint(names):
            return False
        self._not_before_s = now_s + self._every_s
        self._pending = result
        self._offered.set()
        return True

    async def run(self) -> None:
        """Run the command for each accepted offer, until cancelled. Cancelling kills a running command."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            if self._pending is not None:
                try:
                    await self._run(self._pending)
                except OSError as error:
                    log.warning("cannot run %s: %s", self._command[0], error.strerror, extra={"kind": "trigger"})
                finally:
                    self._pending = None

    async def _run(self, result: bytes) -> None:
        with anyio.CancelScope(shield=True):
            process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE)
        try:
            await asyncio.wait_for(process.communicate(result + b"\n"), self._ends_within_s)
            if process.returncode:
                log.warning(
                    "%s failed with exit status %d", self._command[0], process.returncode, extra={"kind": "trigger"}
                )
        except asyncio.TimeoutError:
            log.warning("%s killed: it ran longer than %.0f s", self._command[0], self._ends_within_s)
        finally:
            if process.returncode is None:
                process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()
