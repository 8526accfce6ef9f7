"""Targets of a running service: WebSocket, polling, HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from tests.fuzz import service
from tests.fuzz.mutate import mutated, mutated_tree
from tests.fuzz.service import Service
from tests.fuzz.target import Take, Target, Unexpected, corpus

_PACKETS = corpus("websocket")[0].splitlines()
_BODIES = corpus("polling")[0].splitlines()
_REQUESTS = corpus("http")
_PICTURES = corpus("decode")
_JSON = (
    b"[[[[",
    b"null",
    b"1e999",
    b"{}",
    b'"_placeholder":true',
    b'"num":-1',
    b'"num":9999',
    b"451-",
    b"42",
    b"\\ud800",
)
_HTTP = (b"Host: HOST\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Encoding: gzip\r\n",
         b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"Range: bytes=1-,-5\r\n", b"%00", b"%2e%2e/", b"GET ",
         b"Content-Encoding: br\r\n", b"Origin: null\r\n", b"\r\n\r\n")  # fmt: skip
_UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_ATTACHED = {"_placeholder": True, "num": 0}
_EVENTS: tuple[tuple[str, Any], ...] = (
    ("process_frame", _ATTACHED),
    ("process_frame", {"image": _ATTACHED, "frame_id": 7, "captured_at": 1764332000.1, "min_confidence": 0.5}),
    ("process_frame", {"image": "data:image/jpeg;base64,/9j/4AAQ", "frame_id": "a", "classes": ["person"]}),
    ("subscribe", {"cameras": ["gate", "yard"]}),
    ("subscribe", {"cameras": "*"}),
    ("unsubscribe", {"cameras": ["gate"]}),
    ("connect", {"name": "gate"}),
    ("disconnect", "bye"),
)
_INPUTS_A_SESSION = 50
_FRAME_SILENCE_S = 0.1
"""After this silence, the service is assumed to wait for the rest of a frame."""
_REQUEST_SILENCE_S = 0.05
"""The same for a request."""


def _frames(random: Random) -> bytes:
    """One to three WebSocket frames; in one of a hundred inputs the frames' own bytes are mutated too."""
    frames = b""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.random()
        if kind < 0.4:
            frames += _event(random)
        elif kind < 0.5:
            frames += _frame(mutated(_PICTURES, random), 2)
        else:
            frames += _frame(mutated(_PACKETS, random, _JSON), random.choice((1, 1, 1, 1, 1, 2, 9, 0, 8)))
    return mutated([frames], random) if random.random() < 0.01 else frames


def _event(random: Random) -> bytes:
    """A well-formed event with up to two mutated values, and its attachment."""
    name, payload = random.choice(_EVENTS)
    tree: Any = [name, payload]
    for _ in range(random.choice((0, 1, 1, 2))):
        tree = mutated_tree(tree, random)
    number = random.choice(("", "", "7"))
    if "_placeholder" not in str(tree) or random.random() < 0.05:
        return _frame(f"42{number}{json.dumps(tree)}".encode(), 1)
    return _frame(f"451-{number}{json.dumps(tree)}".encode(), 1) + _frame(mutated(_PICTURES, random), 2)


def _frame(payload: bytes, opcode: int) -> bytes:
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
    if length >= 1 << 16:
        size = b"\xff" + struct.pack(">Q", length)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


@dataclass(slots=True)
class _Socket:
    """A WebSocket with a Socket.IO connection, reopened when the service has closed it."""

    service: Service
    connection: socket.socket | None = None
    inputs: int = 0

    def take(self, frames: bytes) -> str:
        if self.connection is None or self.inputs >= _INPUTS_A_SESSION:
            self._open()
        assert self.connection is not None
        self.inputs += 1
        try:
            self.connection.sendall(frames + _frame(b"are you there", 9))
            received = self._until_pong()
        except ConnectionError:
            received = False
        if not received:
            self.close()
        self.service.check()
        return "accepted" if received else "closed"

    def _open(self) -> None:
        self.close()
        self.connection = self.service.dial()
        self.inputs = 0
        self.connection.sendall(_UPGRADE.format(self.service.host).encode() + _frame(b"40", 1))
        self._until(b"40{")
        self.connection.settimeout(_FRAME_SILENCE_S)

    def _until(self, expected: bytes) -> None:
        assert self.connection is not None
        received = b""
        while expected not in received:
            more = self._receive()
            if not more:
                raise Unexpected(f"a new connection is refused: {received[:300]!r}")
            received += more

    def _until_pong(self) -> bool:
        received = b""
        while b"are you there" not in received:
            more = self._receive()
            if not more:
                return False
            received = received[-100:] + more
        return True

    def _receive(self) -> bytes:
        assert self.connection is not None
        try:
            return self.connection.recv(1 << 16)
        except TimeoutError:
            # The service waits for the rest of a frame or message. It must still accept other connections.
            self.service.dial().close()
            return b""

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def _post(random: Random) -> bytes:
    return mutated(_BODIES, random, (*_JSON, b"\x1e", b"b"))


@dataclass(slots=True)
class _Polling:
    """A polling session, reopened when the service has ended it."""

    service: Service
    connection: http.client.HTTPConnection | None = None
    path: str = ""
    inputs: int = 0

    def take(self, body: bytes) -> str:
        if not self.path or self.inputs >= _INPUTS_A_SESSION:
            self._open()
        self.inputs += 1
        status, _ = self._ask("POST", body)
        if status == 200 and self.inputs % 5 == 0:
            self._ask("POST", b'421["unsubscribe",{"cameras":[]}]')  # its acknowledgement can be fetched
            status, _ = self._ask("GET")
        if status != 200:
            self.path = ""
        self.service.check()
        if status >= 500:
            raise Unexpected(f"status {status}: {self.service.last_line()}")
        return f"{status}" if status else "waiting"

    def _open(self) -> None:
        self.close()
        self.inputs, self.path = 0, "/socket.io/?EIO=4&transport=polling"
        status, body = self._ask("GET")
        if status != 200:
            raise Unexpected(f"a new session is refused: {status} {body[:300]!r}")
        self.path += "&sid=" + json.loads(body[body.index(b"{") :].split(b"\x1e")[0])["sid"]
        self._ask("POST", b"40")

    def _ask(self, method: str, body: bytes | None = None) -> tuple[int, bytes]:
        if self.connection is None or self.connection.sock is None:
            self.connection = http.client.HTTPConnection(self.service.host)
            self.connection.sock = self.service.dial()
        try:
            # While the service waits for an attachment, a GET gets no response.
            self.connection.sock.settimeout(_FRAME_SILENCE_S if "&sid=" in self.path else service.ANSWER_WITHIN_S)
            self.connection.request(method, self.path, body)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError:
            self.close()
            return 0, b""
        except (ConnectionError, http.client.HTTPException):
            self.close()
            return 400, b""

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def _request(random: Random) -> bytes:
    return mutated(_REQUESTS, random, _HTTP)


@dataclass(slots=True)
class _Http:
    """A new connection for each request."""

    service: Service

    def take(self, data: bytes) -> str:
        answer = b""
        with self.service.dial() as connection, contextlib.suppress(ConnectionError, TimeoutError):
            connection.settimeout(_REQUEST_SILENCE_S)
            connection.sendall(data.replace(b"HOST", self.service.host.encode()))
            answer = connection.recv(1 << 16)
        self.service.check()
        status = answer[9:12].decode("latin1") if answer.startswith(b"HTTP/") else "closed or waiting"
        if status.startswith("5"):
            raise Unexpected(f"an internal error: {self.service.last_line()}")
        return status

    def close(self) -> None:
        pass


@contextlib.contextmanager
def _through(door: Callable[[Service], _Socket | _Polling | _Http]) -> Iterator[Take]:
    with service.running() as running:
        client = door(running)
        try:
            yield client.take
        finally:
            client.close()
        running.check()


OVER_SOCKETS = (
    Target("websocket", 0.12, _frames, partial(_through, _Socket)),
    Target("polling", 0.06, _post, partial(_through, _Polling)),
    Target("http", 0.04, _request, partial(_through, _Http)),
)
