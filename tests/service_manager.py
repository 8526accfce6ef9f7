"""A fake service manager: it receives sd_notify(3) messages, and keeps a port open like a .socket unit."""

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
"""A generous timeout: no test here measures time."""

_WITH_PORT_3 = (
    "import os, sys; port = int(sys.argv[1]); port == 3 or (os.dup2(port, 3, inheritable=True), os.close(port));"
    "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}; os.execv(sys.executable, sys.argv[2:])"
)


class Manager:
    """Starts services one after another on a port that stays open between them."""

    def __init__(self, folder: Path, family: socket.AddressFamily = socket.AF_INET) -> None:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self._port = socket.create_server((host, 0), family=family)
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(folder / "notify"))
        self._notifications.settimeout(LONG_S)
        self._started: list[Service] = []
        self.address = f"{host if ':' not in host else f'[{host}]'}:{self._port.getsockname()[1]}"
        self.url = f"http://{self.address}"

    def start(self, *arguments: str, module: str = "appliance", **environ: str) -> Service:
        """Run `python -m MODULE serve ARGUMENTS…` on the port."""
        environment = os.environ | {"NOTIFY_SOCKET": self._notifications.getsockname()} | environ
        command = [sys.executable, "-c", _WITH_PORT_3, str(self._port.fileno())]
        process = subprocess.Popen(
            [*command, sys.executable, "-m", module, "serve", *arguments],
            cwd=ROOT, env=environment, pass_fds=[self._port.fileno()], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._started.append(Service(process))
        return self._started[-1]

    def next(self) -> dict[str, str]:
        """Wait for the next message."""
        return dict(line.split("=", 1) for line in self._notifications.recv(1 << 16).decode().splitlines())

    def until(self, **prefixes: str) -> dict[str, str]:
        """Wait for a message whose values start with these prefixes; skip the messages before it."""
        give_up_s = time.monotonic() + LONG_S
        while time.monotonic() < give_up_s:
            message = self.next()
            if all(message.get(name, "").startswith(prefix) for name, prefix in prefixes.items()):
                return message
        raise TimeoutError(f"the service sent no message with {prefixes}")

    def listened_to_by(self, service: Service) -> int:
        """Count the descriptors of the port that a process has open."""
        port = f"socket:[{os.fstat(self._port.fileno()).st_ino}]"
        found = 0
        for link in Path(f"/proc/{service.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                found += os.readlink(link) == port
        return found

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Request a path; return status and JSON body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=LONG_S) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def close(self) -> None:
        for service in self._started:
            service.kill()
        self._notifications.close()
        self._port.close()


class Service:
    """One service process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end; return exit status, stdout and stderr."""
        out, err = self._process.communicate(timeout=LONG_S)
        return self._process.returncode, out, err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
