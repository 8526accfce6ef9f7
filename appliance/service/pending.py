"""Accepted connections that have not sent anything.

HTTP clients speak first, so nothing is created for a connection before its first byte. A flood of idle connections
takes little processor time, and clients that send wait less behind it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from appliance.web.ingress.limiter import ConnectionLimiter, log_closed


class Pending:
    """One connection. Once it has data, `charge` returns the seconds to wait, and then `serve` takes the socket. Both
    are handed the first byte, which stays in the socket.
    """

    def __init__(
        self, connection: socket.socket, address: str, limiter: ConnectionLimiter,
        charge: Callable[[bytes], float], serve: Callable[[socket.socket, str, bytes], None],
        forget: Callable[[Pending], None],
    ) -> None:  # fmt: skip
        self.address, self._connection, self._limiter = address, connection, limiter
        self._charge: Callable[[bytes], float] | None = charge
        self._serve, self._forget = serve, forget
        self._loop = asyncio.get_running_loop()
        self._since = limiter.clock()
        self._timer: asyncio.TimerHandle | None = None
        limiter.add(self)
        limiter.mark_waiting(self)

    def start(self, wait_s: float) -> None:
        """Wait for data after this time."""
        if wait_s:
            self._timer = self._loop.call_later(wait_s, self._watch)
        else:
            self._watch()

    def terminate(self, kind: str, why: str) -> None:
        log_closed(kind, self.address, why)
        self.close()

    def overdue(self, now: float) -> tuple[str, str] | None:
        limit_s = self._limiter.limits.header_timeout_s
        if now - self._since > limit_s:
            return "slow", f"no complete request within {limit_s:g} s (server.header_timeout_s)"
        return None

    def close(self) -> None:
        self._release()
        self._connection.close()

    def _watch(self) -> None:
        self._timer = None
        self._loop.add_reader(self._connection, self._on_data)

    def _on_data(self) -> None:
        try:
            data = self._connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # the client has disconnected
            self.close()
            return
        if self._charge is not None:
            wait_s = self._charge(data)
            self._charge = None
            if wait_s:
                self._loop.remove_reader(self._connection)
                self.start(wait_s)
                return
        self._release()
        self._serve(self._connection, self.address, data)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._loop.remove_reader(self._connection)
        self._limiter.remove(self)
        self._forget(self)
