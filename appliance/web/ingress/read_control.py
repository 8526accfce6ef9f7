"""When and how much a connection reads: TCP holds back a sender that causes more work than its share.

Rules of this file:
- aiohttp pauses the transport for full buffers. A hold of this file ends without resuming what aiohttp has paused.
- Reads are short unless the rest of a frame or body is known to be long: the event loop handles one read at a time,
  and a long read full of the shortest messages takes tens of milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

READ_BYTES, SHORT_READ_BYTES = 65_536, 4096


class ReadControl:
    """Holds of one connection. `paused_by_library` says whether aiohttp has paused the transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop, paused_by_library: Callable[[], bool]) -> None:
        self._loop, self._paused_by_library = loop, paused_by_library
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._full = False

    def attach(self, transport: asyncio.Transport | None) -> None:
        """The connection has opened."""
        self._transport = transport
        self.expect(0)

    def detach(self) -> None:
        """The connection has closed."""
        self._transport = None
        self._paused_by_library = bool  # the connection and this object no longer refer to each other
        if self._timer is not None:
            self._timer.cancel()

    def expect(self, size: int) -> None:
        """Read in pieces that suit a remaining frame or body of this size."""
        transport: Any = self._transport
        if hasattr(transport, "max_size"):
            transport.max_size = min(READ_BYTES, max(SHORT_READ_BYTES, size))

    def hold(self, wait_s: float) -> None:
        """Read nothing for this time, counted from now."""
        if wait_s <= 0 or self._transport is None:
            return
        self._transport.pause_reading()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._resume)

    def set_full(self, full: bool) -> None:
        """Read nothing while the queue of unread messages is full."""
        if full == self._full or self._transport is None:
            return
        self._full = full
        if full:
            self._transport.pause_reading()
        elif self._timer is None:
            self._resume()

    def keep(self) -> None:
        """Pause again what aiohttp has just resumed, if a hold has not ended."""
        if self._transport is not None and (self._full or self._timer is not None):
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._timer = None
        transport = self._transport
        if transport is not None and not (self._full or transport.is_closing() or self._paused_by_library()):
            transport.resume_reading()
