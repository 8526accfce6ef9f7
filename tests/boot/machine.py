"""A virtual machine with the appliance on its disk: a kernel of its own, cgroups of version 2, and a plug to pull.

Rules of this file:
- It is emulated (TCG), since a machine that runs tests seldom offers more. `counted`, its clock counts instructions: a
  nanosecond each, however busy the host is. While it waits for a disk or a timer, its clock follows the host's. So what
  its one core was busy for is a number of instructions, and can be judged; what it waited for cannot.
- The disk ignores orders to flush: a process that is killed takes its own memory with it and not the host's, so that
  what the guest has handed to its disk is kept either way, and what it has not is lost.
- Nothing outside can be reached from it.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import subprocess
import tarfile
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
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
_NOT_NEEDED = (
    "appliance-console.service", "dev-hugepages.mount", "dev-mqueue.mount", "e2scrub_reap.service", "getty.target",
    "kmod-static-nodes.service", "modprobe@.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "systemd-binfmt.service", "systemd-logind.service", "systemd-network-generator.service",
    "systemd-networkd-wait-online.service", "systemd-update-utmp.service",
)  # fmt: skip
"""Nobody looks at its screen: without these a boot takes two thirds of the time."""
_MARKS = """[Service]
ExecStartPre=+/bin/sh -c "head -1 /proc/stat >/run/begun"
ExecStartPost=+/bin/sh -c "head -1 /proc/stat >/run/ready"
"""
"""What the core had done when the service began, and when it was ready."""
_TICKS_PER_S = 100
_KERNEL = "root=/dev/nvme0n1 rw console=ttyS0 quiet systemd.show_status=no audit=0 apparmor=0 mitigations=off"
_CUT = "now"


def make_disk(root: Path, disk: Path, size_bytes: int = _DISK_BYTES) -> None:
    """A disk of this root file system, which is changed: it gets the test's shell and network."""
    units = root / "etc/systemd/system"
    for name, text in _SHELL.items():
        (units / name).write_text(text)
    (root / "etc/systemd/network/80-test.network").write_text(_NETWORK)
    fstab = root / "etc/fstab"
    fstab.unlink(missing_ok=True)  # a hard link: the cached copy stays
    fstab.write_text("/dev/nvme0n1 / ext4 defaults 0 1\n")
    subprocess.run(
        ["systemctl", f"--root={root}", "enable", "shell.socket", "systemd-networkd"], check=True, capture_output=True
    )
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, disk], check=True)


def make_countable(root: Path) -> None:
    """Let this root file system, with the appliance in it, boot without what nobody looks at, and say what a start of
    the service costs: for a Machine that is `counted`.
    """
    marks = root / "etc/systemd/system/appliance.service.d/90-test.conf"
    marks.parent.mkdir()
    marks.write_text(_MARKS)
    subprocess.run(["systemctl", f"--root={root}", "mask", *_NOT_NEEDED], check=True, capture_output=True)


class Machine:
    """A machine that is switched on while its block runs.

    `counted`: its clock counts the instructions of its one core, a nanosecond each, and its kernel is one that needs no
    initrd. Otherwise it has two cores, and the host's clock.
    """

    def __init__(self, root: Path, disk: Path, *, counted: bool = False) -> None:
        kernel, initrd = (sorted((root / "boot").glob(f"{name}-*"))[-1] for name in ("vmlinuz", "initrd.img"))
        chip = ["-cpu", "max", "-smp", "2", "-initrd", str(initrd)]
        if counted:
            chip = ["-cpu", "Nehalem", "-smp", "1", "-icount", "shift=0,sleep=on"]
        self._shell_port, self._http_port = _free_port(), _free_port()
        forward = f"hostfwd=tcp:127.0.0.1:{self._shell_port}-:2222,hostfwd=tcp:127.0.0.1:{self._http_port}-:8080"
        self._command = [
            "setpriv", "--pdeathsig=KILL", "qemu-system-x86_64", "-M", "q35,accel=tcg", *chip, "-m", "2048",
            "-nographic", "-monitor", "none",
            "-serial", f"file:{disk.with_suffix('.console')}", "-kernel", str(kernel),
            "-append", _KERNEL, "-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe",
            "-device", "nvme,drive=disk,serial=1",
            "-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile=",
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
        """What the guest has not yet given to its disk is lost."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()

    def run(self, script: str) -> str:
        """What a shell script prints as root in the guest, stripped."""
        return self._heard(script, lambda said: False).strip()

    def cut_during(self, script: str) -> str:
        """Run a shell script in the guest, and pull the plug when it prints a line `now`. What it printed before."""
        said = self._heard(script, lambda said: said.endswith(f"{_CUT}\n"))
        self.pull_the_plug()
        assert said.endswith(f"{_CUT}\n"), f"the script ended before its cut: {said}"
        return said.removesuffix(f"{_CUT}\n").strip()

    def files(self, folder: str, named: str = "*") -> dict[str, bytes]:
        """The files below this folder of the guest that are so named: their contents by their paths in it."""
        packed = base64.b64decode(self.run(f"cd {folder}; find . -type f -name '{named}' | tar -c -T - | base64 -w0"))
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            return {entry.name.removeprefix("./"): _content(archive, entry) for entry in archive if entry.isfile()}

    def digests(self, folder: str) -> dict[str, str]:
        """The sha256 of each, as the guest computes it: large files come slowly out of it."""
        lines = self.run(f"cd {folder}; find . -type f -exec sha256sum {{}} +").splitlines()
        return {name.removeprefix("./"): digest for digest, name in (line.split("  ", 1) for line in lines)}

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
        """Until the box sees; s from the start of the service to that: by the guest's clock, or where it is `counted`
        of the core's work alone.
        """
        self.wait_until("ready", lambda: self.get("/health/ready")[0] == 200)
        self.wait_until("active", lambda: self.show("appliance", "ActiveState") == "active")
        marks = self.run("cat /run/begun /run/ready 2>/dev/null").splitlines()
        if not marks:
            names = ("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
            begun_us, ready_us = (int(self.show("appliance", name)) for name in names)
            return (ready_us - begun_us) / 1e6
        begun_s, ready_s = (_busy_s(line) for line in marks)
        return ready_s - begun_s

    def _heard(self, script: str, enough: Callable[[str], bool]) -> str:
        """What a script prints until it ends or has said enough."""
        said = b""
        with socket.create_connection(("127.0.0.1", self._shell_port), timeout=_PATIENCE_S) as connection:
            connection.sendall(f"{script}\nexit\n".encode())
            while not enough(said.decode(errors="replace")) and (part := connection.recv(65536)):
                said += part
        return said.decode(errors="replace")


def why_not() -> str | None:
    """Why there can be no such machine here."""
    missing = [name for name in ("qemu-system-x86_64", "mke2fs") if shutil.which(name) is None]
    return f"{', '.join(missing)} missing: apt install qemu-system-x86 e2fsprogs" if missing else None


def _busy_s(line: str) -> float:
    """From the first line of /proc/stat: all but the fourth and fifth figure, which are idle and waiting for a disk."""
    ticks = [int(figure) for figure in line.split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS_PER_S


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(entry)
    assert content is not None
    with content:
        return content.read()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
