"""A service manager for the real service: it hears sd_notify(3), and holds the port as a .socket unit does."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LONG_S = 60.0
"""Whatever takes longer is broken; nothing here measures time."""

_WITH_PORT_3 = (
    "import os, sys; port = int(sys.argv[1]); port == 3 or (os.dup2(port, 3, inheritable=True), os.close(port));"
    "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}; os.execv(sys.executable, sys.argv[2:])"
)


class Manager:
    """Starts one service after the other on a port that stays open between them."""

    def __init__(self, folder: Path, family: socket.AddressFamily = socket.AF_INET) -> None:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self._port = socket.create_server((host, 0), family=family)
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.bind(str(folder / "notify"))
        self._heard.settimeout(LONG_S)
        self._started: list[Service] = []
        self.url = f"http://{host if ':' not in host else f'[{host}]'}:{self._port.getsockname()[1]}"

    def start(self, *arguments: str, module: str = "appliance", **environ: str) -> Service:
        """`python -m MODULE serve ARGUMENTS…` on the port."""
        environment = os.environ | {"NOTIFY_SOCKET": self._heard.getsockname()} | environ
        command = [sys.executable, "-c", _WITH_PORT_3, str(self._port.fileno())]
        process = subprocess.Popen(
            [*command, sys.executable, "-m", module, "serve", *arguments],
            cwd=ROOT, env=environment, pass_fds=[self._port.fileno()], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._started.append(Service(process))
        return self._started[-1]

    def next(self) -> dict[str, str]:
        """The next message."""
        return dict(line.split("=", 1) for line in self._heard.recv(1 << 16).decode().splitlines())

    def until(self, **said: str) -> dict[str, str]:
        """The next message in which each of these begins like this; those before it are passed over."""
        give_up_s = time.monotonic() + LONG_S
        while time.monotonic() < give_up_s:
            heard = self.next()
            if all(heard.get(name, "").startswith(value) for name, value in said.items()):
                return heard
        raise TimeoutError(f"the service never said {said}")

    def listened_to_by(self, service: Service) -> int:
        """Descriptors of the port that a process has open."""
        port = f"socket:[{os.fstat(self._port.fileno()).st_ino}]"
        found = 0
        for link in Path(f"/proc/{service.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                found += os.readlink(link) == port
        return found

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=LONG_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def close(self) -> None:
        for service in self._started:
            service.kill()
        self._heard.close()
        self._port.close()


class Service:
    """One process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Its exit status, waited for, and what it wrote to stdout and stderr."""
        out, err = self._process.communicate(timeout=LONG_S)
        return self._process.returncode, out, err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
