"""Servers of the bus that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from appliance.site.nats_bus import NatsBus, NatsOptions

_INFO = b'INFO {"server_id":"x","version":"2.9.0","max_payload":1048576,"headers":true}\r\n'
_MOST = 8_000_000
"""Bytes that may be sent before the connection ends: they fill the kernel's buffers, and one read."""


class Listener:
    """Gets what the bus carries."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def receive(self, subject: str, message: bytes) -> None:
        self.got.append(len(message))

    def joined(self) -> None:
        pass


class HostileServer:
    """Greets as a NATS server does, and then sends what the test says."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self.info, self.first, self._then = _INFO, first, then
        self.ends = False
        """Whether it ends each connection once a client has subscribed."""
        self.connections = 0
        self.ended_after: list[int] = []
        """Bytes that were sent until a client has ended its connection."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        sent = 0
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(self.info)
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
            await reader.readuntil(b"SUB ")
            writer.write(self.first)
            while self._then and sent < 10 * _MOST:
                writer.write(self._then)
                await writer.drain()
                sent += len(self._then)
            if not self.ends:
                await reader.read()
        self.ended_after.append(sent)
        writer.close()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"MSG site.presence 1 99999999999\r\n", b"x" * 65_536),
        (b"HMSG site.presence 1 12 99999999999\r\n", b"x" * 65_536),
        (b"MSG ", b"x" * 65_536),
        (b"", b"x" * 65_536),
        (b"INFO ", b"x" * 65_536),
    ],
    ids=["message", "message_with_headers", "line_of_a_message", "no_line", "info"],
)
async def test_a_server_that_sends_without_end_fills_no_memory(first: bytes, then: bytes) -> None:
    server = HostileServer(first, then)
    async with server.listening() as url:
        bus = NatsBus(NatsOptions((url,), "box1"))
        bus.want(frozenset({"site.presence"}))
        task = asyncio.create_task(bus.run(Listener()))
        try:
            with anyio.fail_after(20):
                while not server.ended_after:
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait({task})
    assert server.ended_after[0] <= _MOST


@pytest.mark.parametrize("when", ["at the start", "later"])
async def test_a_server_cannot_send_the_device_to_other_servers(when: str) -> None:
    """The key would be used there, and there can be any number of them."""
    strange, here = HostileServer(b"", b""), HostileServer(b"", b"")
    async with strange.listening() as elsewhere, here.listening() as url:
        info = _INFO.replace(b"}", b',"connect_urls":["%s"]}' % elsewhere.removeprefix("nats://").encode())
        if when == "later":
            here.first = info
        else:
            here.info = info
        here.ends = True
        bus = NatsBus(NatsOptions((url,), "box1"))
        bus.want(frozenset({"site.presence"}))
        task = asyncio.create_task(bus.run(Listener()))
        try:
            with anyio.fail_after(20):
                while here.connections < 4 and not strange.connections:
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait({task})
    assert not strange.connections


@pytest.mark.parametrize("info", [b"5", b"[]", b'{"max_payload":null}', b'{"max_payload":"much"}'])
async def test_a_server_with_an_invalid_greeting_is_a_bus_that_is_away(info: bytes) -> None:
    """It ends no task of the device, which joins as soon as the server is as it should be."""
    server, listener = HostileServer(b"MSG site.presence 1 4\r\nhere\r\n", b""), Listener()
    server.info = b"INFO " + info + b"\r\n"
    async with server.listening() as url:
        bus = NatsBus(NatsOptions((url,), "box1"), patience_s=1)
        bus.want(frozenset({"site.presence"}))
        task = asyncio.create_task(bus.run(listener))
        try:
            with anyio.fail_after(20):
                while "does not keep to the protocol" not in (bus.problem or ""):
                    bus.publish("site.presence", b"a message")
                    await asyncio.sleep(0.02)
                server.info, listener.got = _INFO, []
                while not listener.got:
                    assert not task.done()
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_large_messages_of_a_good_server_arrive() -> None:
    size = 4_000_000
    server = HostileServer(b"MSG site.presence 1 %d\r\n" % size + b"x" * size + b"\r\n", b"")
    listener = Listener()
    async with server.listening() as url:
        bus = NatsBus(NatsOptions((url,), "box1"))
        bus.want(frozenset({"site.presence"}))
        task = asyncio.create_task(bus.run(listener))
        try:
            with anyio.fail_after(20):
                while not listener.got:
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait({task})
    assert (listener.got, server.connections) == ([size], 1)
