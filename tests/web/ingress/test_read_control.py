"""Pauses of a connection, with a transport that only remembers whether it reads."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

from appliance.web.ingress.read_control import ReadControl


class Transport:
    def __init__(self) -> None:
        self.reads, self.max_size = True, 0

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return False


def control(*, library_paused: bool = False) -> tuple[ReadControl, Transport]:
    transport: Any = Transport()
    made = ReadControl(asyncio.get_running_loop(), lambda: library_paused)
    made.attach(transport)
    return made, transport


async def test_a_hold_ends_by_itself() -> None:
    reads, transport = control()
    reads.hold(0.01)
    assert not transport.reads
    transport.resume_reading()  # as aiohttp does when its buffer is empty
    reads.keep()
    assert not transport.reads
    with anyio.fail_after(10):
        while not transport.reads:
            await asyncio.sleep(0.01)


async def test_what_the_library_has_paused_stays_paused() -> None:
    reads, transport = control(library_paused=True)
    reads.set_full(True)
    reads.set_full(False)
    assert not transport.reads


async def test_a_full_queue_pauses_until_it_has_been_read() -> None:
    reads, transport = control()
    reads.set_full(True)
    reads.hold(0.001)
    await asyncio.sleep(0.05)
    assert not transport.reads
    reads.set_full(False)
    assert transport.reads


async def test_a_read_is_as_long_as_what_is_expected_within_bounds() -> None:
    reads, transport = control()
    sizes = []
    for expected in (0, 10, 20_000, 9_000_000):
        reads.expect(expected)
        sizes.append(transport.max_size)
    assert sizes == [4096, 4096, 20_000, 65_536]


async def test_a_closed_connection_ignores_holds() -> None:
    reads, transport = control()
    reads.hold(0.001)
    reads.detach()
    reads.hold(1)
    reads.set_full(True)
    reads.expect(9)
    await asyncio.sleep(0.02)
    assert not transport.reads
