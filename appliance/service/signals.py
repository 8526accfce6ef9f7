"""The orders that come as signals."""

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
    """What was asked of the process."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared by who obeys."""

    def listen(self) -> None:
        """Obey SIGTERM, SIGINT and SIGHUP from now on, in the running loop.

        The second SIGINT ends the process at once. SIGHUP reloads, but stops a service whose terminal was closed.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        loop.add_signal_handler(signal.SIGHUP, self.stop.set if on_terminal else self.reload.set)

    def _interrupt(self) -> None:
        if self.stop.is_set():
            log.warning("stopped at once; frames under way are lost")
            os._exit(INTERRUPTED)  # a chip that hangs would keep any tidier way from ending
        self.stop.set()
