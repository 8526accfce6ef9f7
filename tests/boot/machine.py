"""A virtual machine with the appliance on its disk: its own kernel, cgroup v2, and a power plug to pull.

Rules of this file:
- It is emulated (TCG), because test machines seldom offer KVM. If `counted`, its clock counts instructions, one
  nanosecond each, however busy the host is. While it waits for a disk or a timer, its clock follows the host's. So the
  time for which its only core was busy can be asserted; the time that it waited cannot.
- The disk ignores flushes. Killing QEMU loses the guest's memory but not the host's page cache, so everything that the
  guest has written to its disk is kept, and the rest is lost.
- The guest cannot reach the host's network.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import socket
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Own = TypeVar("Own", bound="Machine")

_DISK_BYTES = 2_000_000_000
SHELL = {
    "shell.socket": "[Socket]\nListenStream=2222\nAccept=yes\n[Install]\nWantedBy=sockets.target\n",
    "shell@.service": "[Service]\nExecStart=/bin/sh\nStandardInput=socket\nStandardError=inherit\n",
}
"""A root shell for the test. Real devices do not have it."""
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
_NOT_NEEDED = (
    "appliance-console.service", "dev-hugepages.mount", "dev-mqueue.mount", "e2scrub_reap.service", "getty.target",
    "kmod-static-nodes.service", "modprobe@.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "systemd-binfmt.service", "systemd-logind.service", "systemd-network-generator.service",
    "systemd-networkd-wait-online.service", "systemd-update-utmp.service",
)  # fmt: skip
"""Without these a boot takes two thirds of the time. The machine has no screen."""
_MARKS = """[Service]
ExecStartPre=+/bin/sh -c "head -1 /proc/stat >/run/started"
ExecStartPost=+/bin/sh -c "head -1 /proc/stat >/run/ready"
"""
"""Record the CPU time at the start of the service and when it is ready."""
_TICKS_PER_S = 100
_UNVERIFIED = ssl.create_default_context()
_UNVERIFIED.check_hostname, _UNVERIFIED.verify_mode = False, ssl.CERT_NONE
_KERNEL = "root=/dev/nvme0n1 rw console=ttyS0 quiet systemd.show_status=no audit=0 apparmor=0 mitigations=off"
_CUT = "now"
_CHIPS = {
    "x86_64": ("qemu-system-x86_64", "q35,accel=tcg", "max", "/usr/share/OVMF/OVMF", 900.0),
    "aarch64": ("qemu-system-aarch64", "virt,accel=tcg", "cortex-a72", "/usr/share/AAVMF/AAVMF", 5400.0),
}
"""For each machine: QEMU's program, board and processor, UEFI's files without their endings, and the patience."""


def make_disk(root: Path, disk: Path, size_bytes: int = _DISK_BYTES) -> None:
    """Make a disk image from this root file system, after adding the test's shell and network to it."""
    units = root / "etc/systemd/system"
    for name, text in SHELL.items():
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
    """Prepare this root file system for a `counted` Machine: disable units that are not needed, and record the CPU time
    of a service start."""
    marks = root / "etc/systemd/system/appliance.service.d/90-test.conf"
    marks.parent.mkdir()
    marks.write_text(_MARKS)
    subprocess.run(["systemctl", f"--root={root}", "mask", *_NOT_NEEDED], check=True, capture_output=True)


_COMMAND = "/opt/appliance/current/venv/bin/appliance"


class Machine:
    """A machine that is switched on while its block runs.

    `counted`: its clock counts the instructions of its only core, one nanosecond each, and its kernel needs no initrd.
    Otherwise it has two cores and the host's clock.
    """

    _patience_s = _CHIPS["x86_64"][4]

    def __init__(self, root: Path, disk: Path, *, counted: bool = False) -> None:
        kernel, initrd = (sorted((root / "boot").glob(f"{name}-*"))[-1] for name in ("vmlinuz", "initrd.img"))
        chip = ["-cpu", "max", "-smp", "2", "-initrd", str(initrd)]
        if counted:
            chip = ["-cpu", "Nehalem", "-smp", "1", "-icount", "shift=0,sleep=on"]
        program, board, *_ = _CHIPS["x86_64"]
        self._assemble([program, "-M", board, *chip, "-kernel", str(kernel), "-append", _KERNEL], disk)

    def _assemble(self, parts: list[str], disk: Path) -> None:
        """Prepare the machine. `parts`: QEMU's program, its board and processor, and how it starts."""
        self._shell_port, self._http_port = _free_port(), _free_port()
        forward = f"hostfwd=tcp:127.0.0.1:{self._shell_port}-:2222,hostfwd=tcp:127.0.0.1:{self._http_port}-:8080"
        self._command = [
            "setpriv", "--pdeathsig=KILL", *parts, "-m", "2048",
            "-nographic", "-monitor", "none",
            "-serial", f"file:{disk.with_suffix('.console')}",
            "-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe", "-device", "nvme,drive=disk,serial=1",
            "-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile=",
        ]  # fmt: skip
        self._qemu: subprocess.Popen[bytes] | None = None
        self._token = ""

    def __enter__(self: Own) -> Own:
        self.switch_on()
        return self

    @property
    def http_port(self) -> int:
        """The local port that leads to its page."""
        return self._http_port

    def __exit__(self, *error: object) -> None:
        self.pull_the_plug()

    def switch_on(self) -> None:
        self._qemu = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def pull_the_plug(self) -> None:
        """Cut the power: everything that the guest has not written to its disk is lost."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()

    def run(self, script: str) -> str:
        """Run a shell script as root in the guest; return its output, stripped."""
        return self._output_of(script, lambda output: False).strip()

    def cut_during(self, script: str) -> str:
        """Run a shell script in the guest, and pull the plug when it prints a line `now`. Return the output before."""
        output = self._output_of(script, lambda output: output.endswith(f"{_CUT}\n"))
        self.pull_the_plug()
        assert output.endswith(f"{_CUT}\n"), f"the script ended before its cut: {output}"
        return output.removesuffix(f"{_CUT}\n").strip()

    def files(self, folder: str, named: str = "*") -> dict[str, bytes]:
        """The content of each file below a folder of the guest whose name matches, by its path in that folder."""
        packed = base64.b64decode(self.run(f"cd {folder}; find . -type f -name '{named}' | tar -c -T - | base64 -w0"))
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            return {entry.name.removeprefix("./"): _content(archive, entry) for entry in archive if entry.isfile()}

    def digests(self, folder: str) -> dict[str, str]:
        """The SHA-256 of each file, computed in the guest: transferring large files takes long."""
        lines = self.run(f"cd {folder}; find . -type f -exec sha256sum {{}} +").splitlines()
        return {name.removeprefix("./"): digest for digest, name in (line.split("  ", 1) for line in lines)}

    def show(self, unit: str, name: str) -> str:
        return self.run(f"systemctl show {unit} --value --property {name}")

    def get(self, path: str) -> tuple[int, Any]:
        """The status and JSON body of the service's response; status 0: no response."""
        try:
            return self._ask(path)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, ValueError) as error:
            return 0, str(error)

    def _ask(self, path: str) -> tuple[int, Any]:
        url = f"https://127.0.0.1:{self._http_port}{path}"  # to the guest, this is another machine
        headers = {"Authorization": f"Bearer {self.token()}"} if path == "/health" else {}
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=30, context=_UNVERIFIED) as answer:
            return answer.status, json.loads(answer.read())

    def token(self) -> str:
        """An operator's token, made with the first call."""
        if not self._token:
            made = re.search(r"edge_\w+", self.run(f"{_COMMAND} token add tests --role operator"))
            self._token = made[0] if made else ""
        return self._token

    def answered(self, camera: str) -> int:
        status, report = self.get("/health")
        return int(report["cameras"].get(camera, {}).get("answered", 0)) if status == 200 else 0

    def wait_until(self, what: str, holds: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + self._patience_s
        while not holds():
            assert self._qemu is not None
            assert self._qemu.poll() is None, "qemu has ended"
            assert time.monotonic() < deadline_s, f"not {what} within {self._patience_s:.0f} s"
            time.sleep(1)

    def wait_until_ready(self) -> float:
        """Wait until the device is ready; return the time from the start of the service, s.

        If `counted`, it is the CPU time; otherwise the guest's clock.
        """
        self.wait_until("ready", lambda: self.get("/health/ready")[0] == 200)
        self.wait_until("active", lambda: self.show("appliance", "ActiveState") == "active")
        marks = self.run("cat /run/started /run/ready 2>/dev/null").splitlines()
        if not marks:
            names = ("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
            started_us, ready_us = (int(self.show("appliance", name)) for name in names)
            return (ready_us - started_us) / 1e6
        started_s, ready_s = (_busy_s(line) for line in marks)
        return ready_s - started_s

    def _output_of(self, script: str, enough: Callable[[str], bool]) -> str:
        """Run a script; return its output when the script ends or the output is `enough`."""
        output = b""
        with socket.create_connection(("127.0.0.1", self._shell_port), timeout=self._patience_s) as connection:
            connection.sendall(f"{script}\nexit\n".encode())
            while not enough(output.decode(errors="replace")) and (part := connection.recv(65536)):
                output += part
        return output.decode(errors="replace")


class FirmwareMachine(Machine):
    """A machine that starts from its disk by UEFI, like a PC, with a memory stick plugged in."""

    def __init__(self, disk: Path, stick: Path, machine: str = "x86_64") -> None:
        program, board, chip, firmware, self._patience_s = _CHIPS[machine]
        variables = disk.with_suffix(".vars")
        shutil.copy(f"{firmware}_VARS.fd", variables)
        flash = "if=pflash,format=raw"
        self._assemble(
            [program, "-M", board, "-cpu", chip, "-smp", "2",
             "-drive", f"{flash},readonly=on,file={firmware}_CODE.fd", "-drive", f"{flash},file={variables}",
             "-drive", f"file={stick},format=raw,if=none,id=stick,readonly=on",
             "-device", "virtio-blk-pci,drive=stick"],
            disk,
        )  # fmt: skip


def why_not(machine: str = "x86_64") -> str | None:
    """Why no virtual machine can run here; None: it can."""
    missing = [name for name in (_CHIPS[machine][0], "mke2fs") if shutil.which(name) is None]
    package = "qemu-system-x86" if machine == "x86_64" else "qemu-system-arm qemu-efi-aarch64"
    return f"{', '.join(missing)} missing: apt install {package} e2fsprogs" if missing else None


def _busy_s(line: str) -> float:
    """The CPU time in the first line of /proc/stat, without the fourth and fifth figure: idle and iowait."""
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
