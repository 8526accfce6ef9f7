"""Clients that stop reading use limited memory and do not affect others."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tests.conftest import Running, Serve
from tests.fakes import FakeEngine
from tests.web.camera import camera
from tests.web.requests import picture

MANY = [(0, 20, 50, 60, 0.9 - n / 1000, n % 3) for n in range(300)]
"""Results of about 30 kB, so that the buffers of a client fill quickly."""


class Mute:
    """A websocket that stops reading once it is connected."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened

    async def write(self, text: str, data: bytes | None = None) -> None:
        """Send an Engine.IO message with one binary attachment."""
        await self._frame(0x1, text.encode())
        if data is not None:
            await self._frame(0x2, data)

    async def read_until(self, needle: bytes) -> bytes:
        got = b""
        while needle not in got:
            got += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 1024), 10)
        return got

    async def _frame(self, opcode: int, body: bytes) -> None:
        if len(body) < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(body))
        elif len(body) < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(body))
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, len(body))
        await asyncio.get_running_loop().sock_sendall(self._socket, head + bytes(4) + body)


@asynccontextmanager
async def mute(url: str, name: str) -> AsyncIterator[Mute]:
    """A connected client that never reads again."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(opened, (host, int(port)))
        request = (
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await loop.sock_sendall(opened, request.encode())
        client = Mute(opened)
        await client.read_until(b"pingTimeout")
        await client.write("40" + json.dumps({"name": name}))
        await client.read_until(b"connected")
        yield client


def kept_for(running: Running, name: str) -> int:
    """Packets and events that the service keeps for the clients of this name."""
    publisher = running.started.parts.path.publisher
    sids = publisher._of_camera.get(name, set())
    return sum(publisher._backlog(sid) + len(publisher._clients[sid].outbox) for sid in sids)


async def test_a_viewer_that_stops_reading_does_not_delay_other_clients(serve: Serve) -> None:
    async with serve(FakeEngine(MANY), flow__burst="100") as running, mute(running.url, "mute") as viewer:
        await viewer.write('42["subscribe",{"cameras":"*"}]')
        async with camera(running.url, "gate") as gate:
            most = 0
            for number in range(200):
                await gate.push({"image": picture(number % 20), "frame_id": number})
                await gate.answer(number)
                most = max(most, kept_for(running, "mute"))
        assert running.started.parts.path.publisher.dropped > 0
        assert 0 < most < 60


async def test_a_camera_that_does_not_read_its_acknowledgements_is_slowed_down(serve: Serve) -> None:
    """Its own unread acknowledgements limit what it can send: TCP slows it down, and nothing accumulates."""
    async with serve() as running, mute(running.url, "mute") as pushy:

        async def push() -> None:
            for number in range(60_000):
                await pushy.write(f'42{number}["process_frame","' + "@" * 100 + '"]')

        pushing = asyncio.create_task(push())
        most = 0
        async with camera(running.url, "gate") as gate:
            for number in range(100):
                await gate.push({"image": picture(number % 5), "frame_id": number})
                assert (await gate.answer(number))[0] != "detection_error"
                most = max(most, kept_for(running, "mute"))
                await asyncio.sleep(0.01)
        pushing.cancel()
        await asyncio.wait({pushing})
        assert most < 1000


async def test_clients_that_disconnect_in_the_middle_of_a_message_do_no_harm(serve: Serve) -> None:
    async with serve(FakeEngine(MANY)) as running, camera(running.url, "gate") as gate:
        for number in range(20):
            async with mute(running.url, "gone") as gone:
                placeholder = '451-["process_frame",{"_placeholder":true,"num":0}]'
                data = picture(number)
                await gone.write(placeholder, data)
                await gone.write(placeholder, data[: os.urandom(1)[0]])
                await gone.write(placeholder)
            await gate.push({"image": picture(100 + number), "frame_id": number})
            await gate.answer(number)
        publisher = running.started.parts.path.publisher
        with anyio.fail_after(20):
            while len(publisher) > 1:
                await asyncio.sleep(0.01)
        assert running.started.parts.path.pace.stats().keys() <= {"gate", "_canary"}
