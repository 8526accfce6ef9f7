"""The TCP port of HAProxy's agent-check: one line for each connection, then it is closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

_CLOSE_S = 1.0


class AgentCheck:
    """Answers on `port`, with what `answer` returns at that moment. Nothing is read from a connection."""

    def __init__(self, answer: Callable[[], str], host: str, port: int) -> None:
        self._answer, self._host, self.port = answer, host, port

    async def run(self) -> None:
        """Answer until cancelled. Raises OSError if the port cannot be opened."""
        server = await asyncio.start_server(self._reply, self._host or None, self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            await server.serve_forever()
        finally:
            server.close()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._answer().encode() + b"\n")
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), _CLOSE_S)
