"""Mosquitto as the broker, and a paho client that records what it receives: both written by others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto process on a port of its own. `lines`: more of its configuration."""

    def __init__(self, folder: Path, lines: str = "allow_anonymous true") -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed: apt install mosquitto")
        self.port, self._folder = free_port(), folder
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\npersistence false\nmax_queued_messages 20000\n"
            f"user {Path.home().owner()}\n{lines}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline_s, (self._folder / "mosquitto.log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Server(Protocol):
    """A process that tests start and end."""

    def start(self) -> None: ...

    def kill(self) -> None: ...


S = TypeVar("S", bound=Server)


@contextmanager
def started(server: S) -> Iterator[S]:
    """Start a server; kill it when left."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


def broker(folder: Path, lines: str = "allow_anonymous true") -> AbstractContextManager[Broker]:
    """A running broker."""
    return started(Broker(folder, lines))


@dataclass
class Subscriber:
    """What a paho client has received, in order: topic, payload, whether it was retained."""

    client: mqtt.Client
    messages: list[tuple[str, bytes, bool]] = field(default_factory=list)
    connected: threading.Event = field(default_factory=threading.Event)

    def latest(self, topic: str) -> Any:
        """The last message under a topic, decoded from JSON; None: there is none, or it is empty."""
        found = [payload for name, payload, _ in self.messages if name == topic]
        return json.loads(found[-1]) if found and found[-1] else None

    def text(self, topic: str) -> str | None:
        found = [payload for name, payload, _ in self.messages if name == topic]
        return found[-1].decode() if found else None

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for name, payload, _ in self.messages if name.endswith("/event")]

    async def until(self, holds: Callable[[], object], within_s: float = 20) -> None:
        """Wait until a condition holds."""
        deadline_s = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline_s, self.messages[-5:]
            await asyncio.sleep(0.02)

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)


@asynccontextmanager
async def subscriber(
    port: int,
    *topics: str,
    login: tuple[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    name: str = "subscriber",
    host: str = "127.0.0.1",
) -> AsyncIterator[Subscriber]:
    """A client that subscribes to these topics with quality 2, and again after each reconnection."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
    client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
    if login is not None:
        client.username_pw_set(*login)
    if tls is not None:
        client.tls_set_context(tls)
    seen = Subscriber(client)
    client.on_message = lambda _, __, message: seen.messages.append(
        (message.topic, bytes(message.payload), bool(message.retain))
    )

    def subscribe(*_: Any) -> None:
        client.subscribe([(topic, 2) for topic in topics or ("#",)])

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: seen.connected.set()
    client.connect(host, port)
    client.loop_start()
    try:
        await asyncio.get_running_loop().run_in_executor(None, seen.connected.wait, 20)
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()
