"""Listen on the port, passed by systemd or opened here, and accept connections.

Rules of this file:
- asyncio's own server accepts up to `backlog` connections in a row and, when no file descriptor is left, logs a
  traceback for each of them. This one accepts a few at a time, asks the limiter about each, and pauses without one.
- HTTPS and HTTP share the port: the first byte of a TLS handshake begins no HTTP request.
- A handshake has the time that the headers of a request have, and makes room for others like a connection that waits.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import errno
import ipaddress
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from appliance.device import listening_address
from appliance.device.listening_address import ListeningAddress
from appliance.errors import PortError
from appliance.service.pending import Pending
from appliance.token_bucket import TokenBucket
from appliance.web.ingress.limiter import ConnectionLimiter

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
_TLS_HANDSHAKE = 0x16
"""The first byte of a TLS connection (RFC 8446, section 5.1)."""
_HANDSHAKE_COST = 3.0
"""A connection with a TLS handshake and one request takes 2.0 to 2.8 ms of the event loop, one without 0.7 to 1.1 ms
(ECDSA P-256, two shared x86-64 cores)."""
_TLS_BUFFER_BYTES = 16_640
"""Buffer of a TLS connection: one record. asyncio's own is 256 kB, half a gigabyte for 2000 clients, and lets one read
deliver thousands of short messages at once."""
_GOODBYE_S = 2.0
"""For a client to answer the end of TLS; asyncio waits for 30 s."""
_PAUSE_S = 0.5
_RELIEF = 32
"""Idle connections closed when no file descriptor is left."""
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Connect = Callable[[str, Callable[[], None]], asyncio.Protocol]
"""Creates the protocol for a connection from this address. The protocol calls the second argument to give up the
connection before it is made."""
TlsContext = Callable[[], "ssl.SSLContext | None"]
"""The context for the next handshake; None: no TLS."""


def no_tls() -> None:
    """Serve HTTP only."""


class Port:
    """The listening sockets. Connections queue in the kernel until `run` accepts them."""

    def __init__(
        self, listeners: Sequence[socket.socket], limiter: ConnectionLimiter, connect: Connect, tls: TlsContext = no_tls
    ) -> None:
        self._listeners, self._limiter, self._connect, self._tls = list(listeners), limiter, connect, tls
        asyncio.sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
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

    @property
    def address(self) -> ListeningAddress | None:
        """Where programs of this device reach it; None: on a Unix socket."""
        return listening_address.of_sockets(self._listeners)

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach it."""
        names = [listener.getsockname() for listener in self._listeners]
        return any(isinstance(name, tuple) and not ipaddress.ip_address(name[0]).is_loopback for name in names)

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
        wait_s = self._limiter.peers.connect(address)
        pending = Pending(connection, address, self._limiter, self._charge, self._start, self._pending.discard)
        self._pending.add(pending)
        pending.start(wait_s)
        return _IDLE

    def _charge(self, first: bytes) -> float:
        return self._rate.take((_HANDSHAKE_COST if self._context(first) else 1) - _IDLE)

    def _context(self, first: bytes) -> ssl.SSLContext | None:
        return self._tls() if first[:1] == bytes((_TLS_HANDSHAKE,)) else None

    def _start(self, connection: socket.socket, address: str, first: bytes) -> None:
        self._group.start_soon(self._serve, connection, address, self._context(first))

    async def _serve(self, connection: socket.socket, address: str, context: ssl.SSLContext | None) -> None:
        with anyio.CancelScope() as handshake:
            protocol = self._connect(address, handshake.cancel)
            try:
                transport, _ = await self._loop.connect_accepted_socket(
                    lambda: protocol, connection, **self._tls_options(context)
                )
            except (OSError, asyncio.TimeoutError) as error:
                if context is None:
                    log.warning("cannot accept a connection: %s", error, extra={"kind": "accept"})
                else:  # a scanner, or a browser whose user has not accepted the certificate yet
                    log.info("no TLS handshake with %s: %s", address, error, extra={"kind": "handshake"})
                protocol.connection_lost(None)
                return
            set_limits = getattr(transport, "set_read_buffer_limits", None)  # TLS since Python 3.11
            if context is not None and set_limits is not None:
                set_limits(high=2 * _TLS_BUFFER_BYTES)
        if handshake.cancelled_caught:
            protocol.connection_lost(None)

    def _tls_options(self, context: ssl.SSLContext | None) -> dict[str, Any]:
        if context is None:
            return {}
        options = {"ssl": context, "ssl_handshake_timeout": self._limiter.limits.header_timeout_s}
        return options | ({"ssl_shutdown_timeout": _GOODBYE_S} if sys.hexversion >= 0x030B0000 else {})

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
    passed: Sequence[socket.socket],
    host: str,
    port: int,
    limiter: ConnectionLimiter,
    connect: Connect,
    tls: TlsContext = no_tls,
) -> Port:
    """Listen on the passed sockets if there are any, otherwise on host and port. Raises PortError."""
    opened: list[socket.socket] = []
    try:
        if not passed:
            await _open(opened, host, port)
        return Port(passed or opened, limiter, connect, tls)
    except OSError as error:
        for one in opened:
            one.close()
        where = f"{host}:{port}" if not passed else "the socket that systemd passed"
        raise PortError(f"cannot listen on {where}: {error.strerror or error}{_advice(error)}") from None


def _advice(error: OSError) -> str:
    """What to change so that the service can listen; nothing where neither host nor port is the cause."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return ". Set server.host (--host) to an address of this machine, or 0.0.0.0 for all"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return ". Choose another with --port or server.port"
    return ""


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
