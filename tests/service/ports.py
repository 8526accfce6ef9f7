"""A port that accepts connections for the length of a test, and what answers on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from appliance.service.listening import Port


class Greeter(asyncio.Protocol):
    """Answers with hello and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"hello")
        self.transport.close()


@asynccontextmanager
async def taking(port: Port) -> AsyncIterator[Port]:
    """The port takes connections for the length of the block."""
    async with anyio.create_task_group() as group:
        group.start_soon(port.run)
        try:
            yield port
        finally:
            port.close()
            group.cancel_scope.cancel()
