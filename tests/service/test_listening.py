"""Accepting connections, whatever errors accept(2) returns."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from appliance.errors import PortError
from appliance.service import listening
from appliance.service.listening import Port, listen
from appliance.web.ingress.limiter import ConnectionLimiter
from tests.service.ports import Greeter, taking
from tests.web.ingress.peers import LIMITS, Peer


class Broken(socket.socket):
    """A listener whose `accept` fails a number of times."""

    def __init__(self, number: int, times: int) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.bind(("127.0.0.1", 0))
        self.number, self.times, self.calls = number, times, 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.number, "from the kernel")
        return super().accept()


async def greeting(port: int, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"x")
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_without_file_descriptors_it_pauses_closes_idle_connections_and_continues(
    number: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_PAUSE_S", 0.01)
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    waiting = Peer(limiter, "10.0.0.1")
    listener = Broken(number, 3)
    async with taking(Port([listener], limiter, lambda address, give_up: Greeter())) as port:
        with caplog.at_level(logging.WARNING):
            assert await greeting(port.number) == b"hello"
        assert waiting.closed == "crowded"
        lines = [record for record in caplog.records if getattr(record, "kind", "") == "accept"]
        assert len(lines) == 3, "one line for each pause; the log limits them further"
        assert not [record for record in caplog.records if record.exc_info]


async def test_a_connection_that_fails_before_it_is_accepted_is_skipped() -> None:
    listener = Broken(errno.EPROTO, 2)
    async with taking(
        Port([listener], ConnectionLimiter(LIMITS, lambda: 0.0), lambda address, give_up: Greeter())
    ) as port:
        assert await greeting(port.number) == b"hello"


async def test_the_limiter_refuses_a_connection_before_its_handler_is_created() -> None:
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    for _ in range(LIMITS.max_open):
        limiter.mark_active(Peer(limiter, "10.0.0.1"))
    made: list[str] = []

    def make(address: str, give_up: Callable[[], None]) -> Greeter:
        made.append(address)
        return Greeter()

    async with taking(await listen([], "127.0.0.1", 0, limiter, make)) as port:
        with contextlib.suppress(ConnectionError):
            assert await greeting(port.number) == b""
        assert made == []


async def test_after_a_burst_connections_wait_in_the_kernel_and_are_accepted_at_a_limited_rate() -> None:
    now = 0.0
    limits = dataclasses.replace(LIMITS, max_open=1000)
    limiter = ConnectionLimiter(limits, lambda: now)
    made: list[str] = []

    def make(address: str, give_up: Callable[[], None]) -> Greeter:
        made.append(address)
        return Greeter()

    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(taking(await listen([], "127.0.0.1", 0, limiter, make)))
        for _ in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", port.number)
            writer.write(b"x")
            stack.callback(writer.close)
        with anyio.fail_after(10):
            while len(made) < 256:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(made) < 290, "the clock does not move: only one more for each pause"
        now = 60.0
        with anyio.fail_after(10):
            while len(made) < 300:
                await asyncio.sleep(0.01)


async def test_no_handler_is_created_before_a_connection_sends() -> None:
    limiter = ConnectionLimiter(dataclasses.replace(LIMITS, max_open=1000), lambda: 0.0)
    made: list[str] = []

    def make(address: str, give_up: Callable[[], None]) -> Greeter:
        made.append(address)
        return Greeter()

    async with taking(await listen([], "127.0.0.1", 0, limiter, make)) as port:
        opened = [await asyncio.open_connection("127.0.0.1", port.number) for _ in range(20)]
        with anyio.fail_after(10):
            while len(limiter) < 20:
                await asyncio.sleep(0.01)
        assert made == []
        for _, writer in opened[:10]:
            writer.close()
        with anyio.fail_after(10):
            while len(limiter) > 10:
                await asyncio.sleep(0.01)
        assert await greeting(port.number) == b"hello"
        assert made == ["127.0.0.1"]
    assert len(limiter) == 0, "closing the port closes idle connections"
    for _, writer in opened[10:]:
        writer.close()


async def test_a_name_with_several_addresses_is_listened_to_on_all_with_the_same_port() -> None:
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    async with taking(await listen([], "localhost", 0, limiter, lambda address, give_up: Greeter())) as port:
        assert port.number > 0
        assert await greeting(port.number, "localhost") == b"hello"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.99"])
async def test_a_host_that_is_not_this_machine_is_an_error_that_names_the_host_and_not_the_port(host: str) -> None:
    with pytest.raises(PortError, match=r"Set server\.host") as caught:
        await listen([], host, 0, ConnectionLimiter(LIMITS, lambda: 0.0), lambda address, give_up: Greeter())
    assert "--port" not in str(caught.value)


async def test_a_port_in_use_is_a_port_error() -> None:
    limiter = ConnectionLimiter(LIMITS, lambda: 0.0)
    first = await listen([], "127.0.0.1", 0, limiter, lambda address, give_up: Greeter())
    try:
        with pytest.raises(PortError, match=r"cannot listen on .* Choose another with --port"):
            await listen([], "127.0.0.1", first.number, limiter, lambda address, give_up: Greeter())
    finally:
        first.close()
