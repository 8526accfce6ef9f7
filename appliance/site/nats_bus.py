"""The bus over NATS. The package `nats` is imported when it runs first (extra `site`).

Rules of this file:
- Publishing puts a message into a bounded queue; a task of its own sends. Nobody who publishes waits for a server.
- While no server is connected, messages are dropped; `joined` lets the caller send again what is still worth it.
- Any of the servers will do, each device's own first. The library changes to another one by itself, and pings every
  2 s: a server that hangs is noticed within 6 s.
- A client that has found no server for `_PATIENCE_S` is replaced: after a TLS handshake that failed, the library (2.16)
  waits for ever for the end of that connection; and the certificates and the key may have been renewed meanwhile.
- Only the servers of the settings are used. A server may name others, and the library would try all of them, without
  limit and wherever they are.
- The library gathers a line, or a message, of any length. A connection that brings a longer one than any server sends,
  or than a subscription would keep, is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from appliance.errors import ConfigError
from appliance.site.bus import Receiver
from appliance.site.nkey import read_nkey

log = logging.getLogger(__name__)

_QUEUE = 1000
_PENDING_BYTES = 262_144
_PENDING_MESSAGES, _PENDING_RECEIVED_BYTES = 4096, 8_000_000
_PING_S, _MISSED_PINGS = 2, 2
_MOST_LINE_BYTES = 65_536
"""Servers send lines of 4 kB; INFO is longer, with an address of each server of a cluster."""
_CONNECT_S, _RETRY_S = 2, 0.5
_TICK_S = 0.5
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """How to reach the servers. `key_file`: the device's nkey seed; `ca_file`: certificates to trust. Empty: none."""

    servers: Sequence[str]
    device: str
    key_file: str = ""
    ca_file: str = ""


class NatsBus:
    """Implements `Bus`. Nothing is sent or received before it runs."""

    def __init__(self, options: NatsOptions, patience_s: float = _PATIENCE_S) -> None:
        self._options, self._patience_s = options, patience_s
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=_QUEUE)
        self._news = asyncio.Event()
        self._wanted: frozenset[str] = frozenset()
        self._subscriptions: dict[str, Any] = {}
        self._client: Any = None
        self._why = "not connected yet"
        self.dropped = 0
        """Messages that were published while no server was connected, or too fast, or too long for the server."""

    @property
    def problem(self) -> str | None:
        return None if self._client is not None and self._client.is_connected else self._why

    def publish(self, subject: str, message: bytes) -> None:
        if self.problem is not None or len(self._queue) == _QUEUE:
            self.dropped += 1
        if self.problem is None:
            self._queue.append((subject, message))
            self._news.set()

    def want(self, subjects: frozenset[str]) -> None:
        if subjects != self._wanted:
            self._wanted = subjects
            self._news.set()

    async def run(self, receiver: Receiver) -> None:
        """Connect, and send and receive until cancelled."""
        from nats.aio.client import Client
        from nats.errors import Error

        while True:
            client = Client()
            _bound(client)
            _keep_to_settings(client)
            try:
                with anyio.move_on_after(self._patience_s) as waiting:
                    await self._connect(client, receiver)
                if not waiting.cancelled_caught:
                    self._client = client
                    receiver.joined()
                    await self._serve(client, receiver)
            except (Error, OSError, asyncio.TimeoutError, ValueError, ConfigError) as error:
                self._why = _reason(error)
            except (AttributeError, TypeError) as error:  # the library does not check the form of an INFO
                self._why = f"the server does not keep to the protocol: {_reason(error)}"
            finally:
                self._client, self._subscriptions = None, {}
                with contextlib.suppress(Exception), anyio.move_on_after(_CONNECT_S, shield=True):  # also at the end
                    await client.close()
            await asyncio.sleep(_RETRY_S)

    async def _connect(self, client: Any, receiver: Receiver) -> None:
        async def back() -> None:
            receiver.joined()
            log.info("connected to the bus of the site again", extra={"kind": "bus"})

        options = self._options
        keys: dict[str, Any] = {}
        if options.key_file:
            key = read_nkey(Path(options.key_file))
            client._public_nkey = key.public  # its own option for this needs a package that exists as source only
            keys = {"signature_cb": key.sign}
        await client.connect(
            servers=list(options.servers),
            name=options.device,
            tls=self._tls(),
            no_echo=True,
            dont_randomize=True,
            ping_interval=_PING_S,
            max_outstanding_pings=_MISSED_PINGS,
            connect_timeout=_CONNECT_S,
            reconnect_time_wait=_RETRY_S,
            max_reconnect_attempts=-1,
            pending_size=_PENDING_BYTES,
            error_cb=self._failed,
            disconnected_cb=self._lost,
            reconnected_cb=back,
            **keys,
        )
        log.info("connected to the bus of the site", extra={"kind": "bus"})

    def _tls(self) -> ssl.SSLContext | None:
        if not any(server.startswith("tls://") for server in self._options.servers):
            return None
        return ssl.create_default_context(cafile=self._options.ca_file or None)

    async def _serve(self, client: Any, receiver: Receiver) -> None:
        """Send what is queued, and subscribe to what is wanted, until the connection is closed or lost for good."""
        connected_s = time.monotonic()
        while not client.is_closed:
            if client.is_connected:
                connected_s = time.monotonic()
            elif time.monotonic() - connected_s > self._patience_s:
                return
            await self._follow(client, receiver)
            while self._queue:
                subject, message = self._queue.popleft()
                if client.is_connected and len(message) <= client.max_payload:  # a longer one ends the connection
                    await client.publish(subject, message)
                else:
                    self.dropped += 1
            self._news.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), _TICK_S)

    async def _follow(self, client: Any, receiver: Receiver) -> None:
        async def arrived(message: Any) -> None:
            receiver.receive(message.subject, message.data)

        if not client.is_connected:
            return
        for subject in self._wanted - self._subscriptions.keys():
            self._subscriptions[subject] = await client.subscribe(
                subject,
                cb=arrived,
                pending_msgs_limit=_PENDING_MESSAGES,
                pending_bytes_limit=_PENDING_RECEIVED_BYTES,
            )
        for subject in self._subscriptions.keys() - self._wanted:
            await self._subscriptions.pop(subject).unsubscribe()

    async def _failed(self, error: Exception) -> None:
        if self.problem is not None:
            self._why = _reason(error)

    async def _lost(self) -> None:
        if self._client is None:  # it is given up, and was never connected or has lost its connection before
            return
        self._queue.clear()
        self._why = "the connection was lost"
        log.warning("no connection to the bus of the site; results of other devices are missing",
                    extra={"kind": "bus"})  # fmt: skip


def _bound(client: Any) -> None:
    """End a connection whose server sends more than it may; there is no option for this."""
    from nats.errors import ProtocolError
    from nats.protocol.parser import AWAITING_MSG_PAYLOAD

    parser = client._ps
    parse = parser.parse

    async def bounded(data: bytes = b"") -> None:
        await parse(data)
        in_message = parser.state == AWAITING_MSG_PAYLOAD
        if (parser.needed > _PENDING_RECEIVED_BYTES) if in_message else (len(parser.buf) > _MOST_LINE_BYTES):
            parser.reset()
            raise ProtocolError("nats: a line or a message is too long")

    parser.parse = bounded


def _keep_to_settings(client: Any) -> None:
    """Ignore the servers that a server names; there is no option for this."""
    process = client._process_info

    async def without_servers(info: dict[str, Any], initial_connection: bool = False) -> None:
        await process({key: one for key, one in info.items() if key != "connect_urls"}, initial_connection)

    client._process_info = without_servers


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]
