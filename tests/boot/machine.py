"""A virtual machine with the appliance on its disk: a kernel of its own, cgroups of version 2, and a plug to pull.

It is emulated (TCG), since a machine that runs tests seldom offers more: some twenty times slower than its host.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PATIENCE_S = 900.0
_DISK_BYTES = 2_000_000_000
_SHELL = {
    "shell.socket": "[Socket]\nListenStream=2222\nAccept=yes\n[Install]\nWantedBy=sockets.target\n",
    "shell@.service": "[Service]\nExecStart=/bin/sh\nStandardInput=socket\nStandardError=inherit\n",
}
"""Root for the test; a box has no such thing."""
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n"


def make_disk(root: Path, disk: Path, size_bytes: int = _DISK_BYTES) -> None:
    """A disk of this root file system, which is changed: it gets the test's shell and network."""
    units = root / "etc/systemd/system"
    for name, text in _SHELL.items():
        (units / name).write_text(text)
    (root / "etc/systemd/network/80-test.network").write_text(_NETWORK)
    fstab = root / "etc/fstab"
    fstab.unlink(missing_ok=True)  # it is a hard link to the one that is kept
    fstab.write_text("/dev/vda / ext4 defaults 0 1\n")
    subprocess.run(
        ["systemctl", f"--root={root}", "enable", "shell.socket", "systemd-networkd"], check=True, capture_output=True
    )
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, disk], check=True)


class Machine:
    """A machine that is switched on while its block runs."""

    def __init__(self, root: Path, disk: Path) -> None:
        kernel, initrd = (sorted((root / "boot").glob(f"{name}-*"))[-1] for name in ("vmlinuz", "initrd.img"))
        self._shell_port, self._http_port = _free_port(), _free_port()
        forward = f"hostfwd=tcp:127.0.0.1:{self._shell_port}-:2222,hostfwd=tcp:127.0.0.1:{self._http_port}-:8080"
        self._command = [
            "setpriv", "--pdeathsig=KILL", "qemu-system-x86_64", "-M", "q35,accel=tcg", "-cpu", "max", "-smp", "2",
            "-m", "2048", "-nographic", "-monitor", "none", "-serial", f"file:{disk.with_suffix('.console')}",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", "root=/dev/vda rw console=ttyS0",
            "-drive", f"file={disk},format=raw,if=virtio", "-nic", f"user,model=virtio-net-pci,{forward}",
        ]  # fmt: skip
        self._qemu: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        self.switch_on()
        return self

    @property
    def http_port(self) -> int:
        """The port on this machine behind which its page is."""
        return self._http_port

    def __exit__(self, *error: object) -> None:
        self.pull_the_plug()

    def switch_on(self) -> None:
        self._qemu = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def pull_the_plug(self) -> None:
        """What the guest has not flushed to its disk is lost."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()

    def run(self, script: str) -> str:
        """What a shell script prints as root in the guest, stripped."""
        with socket.create_connection(("127.0.0.1", self._shell_port), timeout=_PATIENCE_S) as connection:
            connection.sendall(f"{script}\nexit\n".encode())
            said = b"".join(iter(lambda: connection.recv(65536), b""))
        return said.decode(errors="replace").strip()

    def show(self, unit: str, name: str) -> str:
        return self.run(f"systemctl show {unit} --value --property {name}")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON body of the service's answer; status 0 where there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http_port}{path}", timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, ValueError) as error:
            return 0, str(error)

    def answered(self, camera: str) -> int:
        status, report = self.get("/health")
        return int(report["cameras"].get(camera, {}).get("answered", 0)) if status == 200 else 0

    def wait_until(self, what: str, holds: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not holds():
            assert self._qemu is not None
            assert self._qemu.poll() is None, "qemu has ended"
            assert time.monotonic() < deadline_s, f"not {what} within {_PATIENCE_S:.0f} s"
            time.sleep(1)

    def wait_until_ready(self) -> float:
        """Until the box sees; s from the start of the service to that, by the guest's clock."""
        self.wait_until("ready", lambda: self.get("/health/ready")[0] == 200)
        begun, ready = (
            int(self.show("appliance", f"{name}TimestampMonotonic")) / 1e6 for name in ("InactiveExit", "ActiveEnter")
        )
        return ready - begun


def why_not() -> str | None:
    """Why there can be no such machine here."""
    missing = [name for name in ("qemu-system-x86_64", "mke2fs") if shutil.which(name) is None]
    return f"{', '.join(missing)} missing: apt install qemu-system-x86 e2fsprogs" if missing else None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
