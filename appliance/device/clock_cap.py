"""The client of the clock helper (systemd/libexec/clock-cap): the cap lasts as long as the connection.

Rules of this file:
- Nothing blocks: the socket is local and non-blocking, and the helper's answer is read with the next call.
- A cap counts only once the helper has confirmed it. Without a helper, or after it has gone, there is no cap.
"""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path

from appliance.ports import Clock

log = logging.getLogger(__name__)

SOCKET = Path("/run/appliance-clock.sock")
_RETRY_S = 30.0
_MOST_BYTES = 4096


class ClockHelper:
    """Implements ClockCap. It connects when a cap below 100 % is asked for, and disconnects when none is needed."""

    def __init__(self, path: Path = SOCKET, clock: Clock = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._socket: socket.socket | None = None
        self._asked: int | None = None
        self._percent = 100
        self._buffer = b""
        self._failed_s = float("-inf")
        self._problem: str | None = None

    @property
    def percent(self) -> int:
        """The confirmed cap; 100: none."""
        return self._percent

    def ask(self, percent: int) -> None:
        """Ask for a cap, and read the answer to the last request. Call it once a second."""
        if percent >= 100:
            self.close()
            return
        try:
            if self._socket is None and not self._connect():
                return
            self._read()
            if self._socket is not None and percent != self._asked:
                self._socket.send(b"cap %d\n" % percent)
                self._asked = percent
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"the clock helper cannot be reached: {error.strerror or error}. "
                       "Run: systemctl enable --now appliance-clock.socket")  # fmt: skip

    def close(self) -> None:
        """End the cap: the helper restores the clocks when the connection ends."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._asked, self._percent, self._buffer = None, None, 100, b""

    def _connect(self) -> bool:
        if self._clock() - self._failed_s < _RETRY_S:
            return False
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        self._socket = connection
        return True

    def _read(self) -> None:
        """Read what the helper has answered. Raises OSError."""
        if self._socket is None:
            return
        try:
            received = self._socket.recv(_MOST_BYTES)
        except BlockingIOError:
            return
        if not received:
            raise ConnectionResetError("the clock helper has ended")
        *lines, self._buffer = (self._buffer + received)[-_MOST_BYTES:].split(b"\n")
        for line in lines:
            verb, _, rest = line.decode("ascii", "replace").partition(" ")
            if verb == "ok" and rest.isdecimal() and 1 <= int(rest) <= 100:
                self._percent, self._problem = int(rest), None
            else:
                self._fail(f"the clock helper refuses a cap: {rest[:100] or 'no reason given'}")
                return

    def _fail(self, problem: str) -> None:
        self.close()
        self._failed_s = self._clock()
        if problem != self._problem:
            log.warning("no clock cap: %s", problem, extra={"kind": "clock_cap"})
        self._problem = problem
