"""Handle SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after a second Ctrl-C: 128 + SIGINT, as shells count."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Events that signals set."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared by whoever handles the reload."""

    def listen(self) -> None:
        """Install the handlers in the running event loop.

        A second SIGINT exits at once. SIGHUP reloads, or stops the service when its terminal was closed.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        loop.add_signal_handler(signal.SIGHUP, self.stop.set if on_terminal else self.reload.set)

    def _interrupt(self) -> None:
        if self.stop.is_set():
            log.warning("stopped at once; frames in flight are lost")
            os._exit(INTERRUPTED)  # a hung engine would block a cleaner exit
        self.stop.set()
