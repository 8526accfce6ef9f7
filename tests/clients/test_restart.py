"""Clients reconnect by themselves after a restart of the real service; none of them calls connect() again."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import anyio
import pytest
import socketio

from tests.camera.agents import FakeSource, pushing, until
from tests.clients.conftest import INSTALLED, client
from tests.conftest import ROOT
from tests.service_manager import LONG_S, Manager
from tests.web.requests import picture

SETTINGS = ("cache.enabled=false", "flow.burst=100")


class Device(Protocol):
    """Something that runs the service on one address, one process after another."""

    url: str

    def start(self) -> None:
        """Start it; returns when it is ready."""

    def stop(self) -> str:
        """Stop it as `systemctl stop` does; what it wrote to stderr."""


class OwnPort:
    """The service opens the port itself: during a restart, connections are refused."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        flags = ("server.host=127.0.0.1", f"server.port={self._port}", *SETTINGS)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fake_service", "serve", *flags],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> str:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=LONG_S)
        assert self.process.returncode == 0
        return err

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class HeldPort:
    """The service manager holds the port: during a restart, connections are queued."""

    def __init__(self, folder: Path) -> None:
        self._manager = Manager(folder)
        self.url = self._manager.url

    def start(self) -> None:
        self._service = self._manager.start(*SETTINGS, module="tests.fake_service")
        self._manager.until(READY="1")

    def stop(self) -> str:
        self._service.signal(signal.SIGTERM)
        status, _, err = self._service.ended()
        assert status == 0
        return err

    def close(self) -> None:
        self._manager.close()


@pytest.fixture(params=["own port", "held port"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    service = OwnPort() if request.param == "own port" else HeldPort(tmp_path)
    service.start()
    yield service
    service.close()


async def restart(device: Device) -> None:
    err = await asyncio.to_thread(device.stop)
    assert "Traceback" not in err
    await asyncio.to_thread(device.start)


class PythonClient:
    """A client written as in the documentation of python-socketio; sends a frame on every `connected`."""

    def __init__(self, url: str, transports: list[str], number: int) -> None:
        self._url, self._transports, self._number = url, transports, number
        self.client: Any = socketio.AsyncClient()
        self.client.on("connected", self._send)
        self.client.on("detection_results", self._answered)
        self.answers = 0

    async def connect(self) -> None:
        name = f"python-{self._number}"
        await self.client.connect(self._url, auth={"name": name}, transports=self._transports, wait_timeout=20)

    async def _send(self, _: Any) -> None:
        await self.client.emit("process_frame", picture(self._number))

    async def _answered(self, _: Any) -> None:
        self.answers += 1

    async def close(self) -> None:
        if self.client.eio.current_transport == "polling" and self.client.eio.http is not None:
            await self.client.eio.http.close()  # otherwise its last GET waits for the next ping
        await self.client.disconnect()


async def test_python_socketio_reconnects(device: Device) -> None:
    transports = [["websocket"], ["polling"], ["polling", "websocket"]]
    async with AsyncExitStack() as stack:
        clients = [PythonClient(device.url, names, number) for number, names in enumerate(transports * 4)]
        for client in clients:
            await client.connect()
            stack.push_async_callback(client.close)
        for answers in (1, 2, 3):
            with anyio.fail_after(LONG_S):
                while any(client.answers < answers for client in clients):
                    await asyncio.sleep(0.02)
            if answers < 3:
                await restart(device)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_official_javascript_client_reconnects(
    device: Device, node: str, tmp_path: Path, transport: str
) -> None:
    (tmp_path / "frame.jpg").write_bytes(picture(1))
    program = str(Path(__file__).with_name("restarts.js"))
    installed = str(INSTALLED / "node_modules" / "socket.io-client")
    frame = str(tmp_path / "frame.jpg")
    async with client(node, program, device.url, transport, frame, SOCKET_IO_CLIENT=installed) as out:

        async def reported(event: str) -> Any:
            with anyio.fail_after(LONG_S):
                while True:
                    report = json.loads(await out.readline())
                    if report["event"] == event:
                        return report["detail"]

        await reported("answered")
        await restart(device)
        assert await reported("disconnect") in ("transport close", "transport error")
        await reported("answered")


async def test_the_camera_agent_reconnects(device: Device) -> None:
    async with pushing(device.url, FakeSource()) as seen:
        await until(seen, 3)
        await restart(device)
        await until(seen, len(seen) + 3, LONG_S)
