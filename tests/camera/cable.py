"""A network cable that can be pulled: a TCP proxy that stops forwarding without closing anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Cable:
    """A proxy between an agent and a device. Pulled, it accepts connections and bytes but forwards none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._plugged_in = asyncio.Event()
        self._plugged_in.set()
        self.url = ""
        self.connections = 0

    def pull(self) -> None:
        self._plugged_in.clear()

    def plug_in(self) -> None:
        self._plugged_in.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection in both directions until either side closes it."""
        self.connections += 1
        await self._plugged_in.wait()
        try:
            device_reader, device_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._one_way(reader, device_writer), self._one_way(device_reader, writer))

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._plugged_in.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def cable_to(url: str) -> AsyncIterator[Cable]:
    cable = Cable(int(url.rsplit(":", 1)[1]))
    server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    cable.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cable
    finally:
        cable.plug_in()
        server.close()
