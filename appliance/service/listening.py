"""Listen on the port, passed by systemd or opened here, and accept connections.

asyncio's own server accepts up to `backlog` connections in a row and, when no file descriptor is left, logs a traceback
for each of them. This one accepts a few at a time, asks the limiter about each, and pauses when none is left.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

import anyio

from appliance.errors import PortError
from appliance.service.pending import Pending
from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.ingress.token_bucket import TokenBucket

log = logging.getLogger(__name__)

_BACKLOG = 4096
"""Length of the accept queue, the maximum on Linux: after a restart all cameras of a site connect at once."""
_AT_ONCE = 16
"""Connections accepted in one turn of the event loop, about 5 ms, so that a flood does not delay connected cameras."""
_BURST, _PER_S = 256, 200.0
"""Connections that send, accepted at once, and per second after that; the others wait in the kernel. The connected
cameras do not notice a flood at this rate, and all cameras of a site may reconnect at once."""
_REFUSED = _IDLE = 0.1
"""A connection that is refused, or sends nothing, costs a tenth of one that sends."""
_PAUSE_S = 0.5
_RELIEF = 32
"""Idle connections closed when no file descriptor is left."""
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Connect = Callable[[str], asyncio.Protocol]
"""Creates the protocol for a connection from this address."""


class Port:
    """The listening sockets. Connections queue in the kernel until `run` accepts them."""

    def __init__(self, listeners: Sequence[socket.socket], limiter: ConnectionLimiter, connect: Connect) -> None:
        self._listeners, self._limiter, self._connect = list(listeners), limiter, connect
        self._loop = asyncio.get_running_loop()
        self._rate = TokenBucket(_BURST, _PER_S, limiter.clock)
        self._pending: set[Pending] = set()
        self._group = anyio.create_task_group()
        for listener in self._listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)

    @property
    def number(self) -> int:
        """The TCP port; 0 for a Unix socket."""
        name = self._listeners[0].getsockname() if self._listeners else ()
        return int(name[1]) if isinstance(name, tuple) and len(name) > 1 else 0

    async def run(self) -> None:
        """Accept connections until cancelled."""
        async with self._group:
            for listener in self._listeners:
                self._loop.add_reader(listener, self._take, listener)
            try:
                await anyio.sleep_forever()
            finally:
                self._pause_all()
                for pending in list(self._pending):
                    pending.close()

    def close(self) -> None:
        """Stop accepting. On a passed socket new connections wait for the next process; otherwise they are refused."""
        self._pause_all()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _pause_all(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _take(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # the client gave up meanwhile
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    continue  # a pending network error of that connection: see accept(2)
                self._pause(listener, error)
                return
            wait_s = self._rate.take(self._enter(connection, str(peer[0]) if isinstance(peer, tuple) else ""))
            if wait_s:
                self._suspend(listener, wait_s)
                return

    def _enter(self, connection: socket.socket, address: str) -> float:
        """Wait for data of a connection, or refuse it; returns how much it counts for."""
        if not self._limiter.admit(address):
            connection.close()
            return _REFUSED
        connection.setblocking(False)
        peer = self._limiter.peers.get(address)
        wait_s = peer.connect() if peer is not None else 0.0
        pending = Pending(connection, address, self._limiter, self._charge, self._start, self._pending.discard)
        self._pending.add(pending)
        pending.start(wait_s)
        return _IDLE

    def _charge(self) -> float:
        return self._rate.take(1 - _IDLE)

    def _start(self, connection: socket.socket, address: str) -> None:
        self._group.start_soon(self._serve, connection, self._connect(address))

    async def _serve(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError as error:
            log.warning("cannot accept a connection: %s", error, extra={"kind": "accept"})
            protocol.connection_lost(error)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        log.warning(
            "cannot accept more connections: %s. Raise LimitNOFILE= or lower server.max_connections",
            error.strerror,
            extra={"kind": "accept"},
        )
        self._limiter.close_waiting(_RELIEF)
        self._suspend(listener, _PAUSE_S)

    def _suspend(self, listener: socket.socket, wait_s: float) -> None:
        self._loop.remove_reader(listener)
        self._loop.call_later(wait_s, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._take, listener)


async def listen(
    passed: Sequence[socket.socket], host: str, port: int, limiter: ConnectionLimiter, connect: Connect
) -> Port:
    """Listen on the passed sockets if there are any, otherwise on host and port. Raises PortError."""
    opened: list[socket.socket] = []
    try:
        if not passed:
            await _open(opened, host, port)
        return Port(passed or opened, limiter, connect)
    except OSError as error:
        for one in opened:
            one.close()
        where = f"{host}:{port}" if not passed else "the socket that systemd passed"
        raise PortError(
            f"cannot listen on {where}: {error.strerror or error}. Choose another with --port or server.port"
        ) from None


async def _open(opened: list[socket.socket], host: str, port: int) -> None:
    """Open one socket for each address of the host, all with the same port number."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, protocol, _, address in dict.fromkeys(found):
        listener = socket.socket(family, kind, protocol)
        opened.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address[0], port or address[1], *address[2:]))
        port = listener.getsockname()[1]
