"""A server that receives frames from cameras and discards them.

Cameras that push to it use as much of the machine as cameras that push to the appliance. So a reference (the bare
engine, or the appliance at its peak) can be measured under the same conditions.
`python -m tests.benchmarks.sink` prints its address and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.service import ROOT, load

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONNECTED = {"status": "connected", "limits": {"min_interval": 0.0, "max_side": 640, "jpeg_quality": 80}}


class _Sink(asyncio.Protocol):
    """One camera: a websocket handshake, a Socket.IO greeting, and then silence."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._head = transport, b""

    def data_received(self, data: bytes) -> None:
        if self._head.endswith(b"\r\n\r\n"):
            return
        self._head += data
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", self._head)
        if self._head.endswith(b"\r\n\r\n") and key is not None:
            accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())  # RFC 6455 requires SHA-1
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            for text in ('0{"sid":"x","pingInterval":60000,"pingTimeout":60000,"upgrades":[],"maxPayload":1000000}',
                         '40{"sid":"x"}', f'42["connected",{json.dumps(_CONNECTED)}]'):  # fmt: skip
                self._transport.write(bytes((0x81, 126)) + len(text).to_bytes(2, "big") + text.encode())


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def discarded(picture: Path, cameras: int, rate: float) -> Iterator[None]:
    """Let cameras push frames to the sink until the block ends. `rate`: frames per second of each camera."""
    command = [sys.executable, "-m", "tests.benchmarks.sink"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        arguments = ("--cameras", str(cameras), "--mode", "rate", "--rate", f"{rate:.1f}", "--seconds", "3600")
        with load(url, picture, *arguments) as pushing:
            assert pushing.stdout is not None
            assert pushing.stdout.readline() == "started\n"
            yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve())
