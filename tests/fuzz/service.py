"""A running service with a fake engine, for the targets that are sockets."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import Ended, Unexpected

ROOT = Path(__file__).parents[2]
ANSWER_WITHIN_S = 20
_READY_WITHIN_S = 60


@dataclass(slots=True)
class Service:
    """A running service: its port, process and log."""

    port: int
    process: subprocess.Popen[str]
    log: Path
    dialled: int = 0
    _read: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def dial(self) -> socket.socket:
        """Connect, each time from another local address."""
        self.dialled += 1
        source = f"127.1.{self.dialled // 250 % 250}.{1 + self.dialled % 250}"
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), ANSWER_WITHIN_S, (source, 0))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            self.check()
            raise Unexpected(f"no connection: {error}") from None

    def last_line(self) -> str:
        """The last line of its log, with the error."""
        return self.log.read_text(errors="replace").rstrip().rpartition("\n")[2][:500]

    def check(self) -> None:
        """Raise Unexpected if the service has ended, or has logged a traceback since the last call."""
        if self.process.poll() is not None:
            raise Ended(f"the service ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        if self.log.stat().st_size == self._read:
            return
        with self.log.open(errors="replace") as lines:
            lines.seek(self._read)
            new = lines.read()
            self._read = lines.tell()
        if found := re.search(r"(?m)^.*\n?^.*Traceback \(most recent call last\)", new):
            raise Unexpected(f"a traceback in the log:\n{new[found.start() :][:3000]}")


@contextlib.contextmanager
def running() -> Iterator[Service]:
    """Run the service with a fake engine."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        log = Path(folder, "log")
        settings = ("server.host=127.0.0.1", f"server.port={port}", f"state.dir={folder}", "server.viewer_token=",
                    "flow.max_pixels=500000", "server.max_frame_bytes=100000")  # fmt: skip
        environment = os.environ | {"APPLIANCE_CONFIG": os.devnull, "APPLIANCE_CONTROL": f"{folder}/control.sock"}
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fake_service", "serve", *settings],
                cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=out, text=True,
            )  # fmt: skip
        try:
            service = Service(port, process, log)
            _wait(service)
            yield service
        finally:
            process.kill()
            process.wait()


def _wait(service: Service) -> None:
    until_s = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until_s:
        with contextlib.suppress(Unexpected), service.dial():
            return
        time.sleep(0.05)
    raise Unexpected("the service did not open its port")
