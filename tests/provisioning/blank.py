"""A blank device: a bare Debian or Ubuntu in a container, with its own disk and a network that can be cut.

Rules of this file:
- The device uses this machine's package mirrors: the configuration of apt, pip and certificates is copied to its disk
  when it is created, and to nowhere else.
- Its network is slirp4netns, a process in user space: this machine's own network is not changed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import socketio

from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.boot import container, rootfs
from tests.boot.container import Container
from tests.conftest import ROOT
from tests.provisioning import disk, ubuntu
from tests.provisioning.disk import Changes, Files

PACKAGES = ("systemd", "systemd-sysv", "dbus", "libnss-systemd", "udev", "iproute2")
"""No Python and no certificates: less than any image for a board contains."""

CACHE = ROOT / ".cache/provisioning"
SOURCE = ("appliance", "systemd", "provisioning", "pyproject.toml", "README.md", "LICENSE")
_numbers = itertools.count(1)
_PATIENCE_S = 900.0
_BOOTED = ("running", "degraded")
_ADDRESS, _DNS = "10.0.2.100", "10.0.2.3"


class BlankDevice(Container):
    """A blank device."""

    def __init__(self, leader: int, root: Path) -> None:
        super().__init__(leader)
        self.root = root
        """The folder of its disk on this machine."""

    def install(self, *arguments: str, source: str = "/media/source", **environment: str) -> tuple[int, str]:
        """Run `provisioning/install.sh`; return its exit code and output."""
        return self.tried("env", *_pairs(environment), f"{source}/provisioning/install.sh", *arguments)

    def tried(self, *command: str) -> tuple[int, str]:
        """Run a command; return its exit code and output."""
        output = self.run("sh", "-c", '"$@" 2>&1; echo "exit $?"', "sh", *command, patience_s=_PATIENCE_S)
        text, _, code = output.rpartition("exit ")
        return int(code), text

    def files(self) -> Files:
        """The files on its disk."""
        return disk.files(lambda script: self.run("sh", "-c", script, patience_s=_PATIENCE_S))

    def leftovers(self, before: Files) -> Changes:
        """The files that differ from `before`."""
        return disk.changes(before, self.files())

    def serial(self) -> str:
        """An ID that changes with each start of the service."""
        return self.show("appliance.service", "InvocationID")

    @contextmanager
    def network(self) -> Iterator[int]:
        """Connect the device to a network until the block ends; yield the local port that leads to its page."""
        with tempfile.TemporaryDirectory() as folder:
            control = Path(folder, "control")
            ready, write = os.pipe()
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
                 f"--api-socket={control}", f"--ready-fd={write}", str(self.leader), "tap0"],
                pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            os.close(write)
            try:
                with os.fdopen(ready) as up:
                    assert up.read(1) == "1", "slirp4netns did not start"
                yield _forward(control)
            finally:
                process.kill()
                process.wait()


FIRST_TOKEN = "/var/lib/appliance/operator-token"
"""Where the first start leaves the operator's token."""


def ask(port: int, token: str) -> dict[str, Any]:
    """Send a frame over the network; return the answer."""
    picture, _ = scene.draw(Size(1280, 720))
    with socketio.SimpleClient(ssl_verify=False) as camera:  # the device has made its certificate itself
        camera.connect(f"https://127.0.0.1:{port}", transports=["websocket"], auth={"token": token})
        camera.emit("process_frame", encode_jpeg(picture, 90))
        while True:
            event, answer = camera.receive(timeout=_PATIENCE_S)
            if event in ("detection_results", "detection_error", "frame_skipped"):
                return {"event": event, **answer}


def _forward(control: Path) -> int:
    """Forward a local port to the device's port 8080."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    with socket.socket(socket.AF_UNIX) as api:
        api.connect(str(control))
        where = {
            "proto": "tcp",
            "host_addr": "127.0.0.1",
            "host_port": port,
            "guest_addr": _ADDRESS,
            "guest_port": 8080,
        }
        api.sendall(json.dumps({"execute": "add_hostfwd", "arguments": where}).encode())
        response = api.recv(1000).decode()
    assert "error" not in response, response
    return port


@contextmanager
def booted(suite: str, packages: Sequence[str] = (), options: Sequence[str] = ()) -> Iterator[BlankDevice]:
    """A blank device with this release of Debian or Ubuntu, just booted. Its disk is deleted at the end of the block.

    This tree is at `/media/source`. `packages`: additional packages; `options`: additional options for systemd-nspawn.
    """
    with blank_disk(suite, packages) as root, switched_on(root, options) as device:
        # Before that, systemd still writes files, for a long time on a busy machine.
        device.wait_until("booted", lambda: device.run("systemctl", "is-system-running", may_fail=True) in _BOOTED)
        yield device


@contextmanager
def blank_disk(suite: str, packages: Sequence[str] = (), root: Path | None = None) -> Iterator[Path]:
    """The disk of a device that has never booted. `root`: an empty folder to make it in, which stays."""
    make = ubuntu.root if suite in ubuntu.SUITES else rootfs.debian
    base = make((*PACKAGES, *packages), suite)
    CACHE.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=f"{suite}-", dir=CACHE)) if root is None else None
    root = root or own
    assert root is not None
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", f"{base}/.", root], check=True)
        _copy_source(root / "media/source")
        _use_our_mirrors(root)
        yield root
    finally:
        if own is not None:
            shutil.rmtree(own)


@contextmanager
def switched_on(root: Path, options: Sequence[str] = ()) -> Iterator[BlankDevice]:
    """A booted device with this disk; writes to the disk persist."""
    with container.boot(
        root, f"blank-{os.getpid()}-{next(_numbers)}", ["--volatile=no", "--timezone=off", *options]
    ) as started:
        yield BlankDevice(started.leader, root)


def _copy_source(into: Path) -> None:
    """Copy this tree as in a fresh checkout: no model, no environment."""
    for name in SOURCE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / name)


def _use_our_mirrors(root: Path) -> None:
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text(f"nameserver {_DNS}\n")
    # Not at Debian's usual place: the package ca-certificates would replace the file.
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/mirrors.pem")
    settings = subprocess.run(["pip", "config", "list"], capture_output=True, text=True).stdout
    lines = ["[global]", "cert = /etc/mirrors.pem"]
    for line in settings.splitlines():
        name, _, value = line.partition("=")
        if name.endswith((".index-url", ".extra-index-url", ".trusted-host")) and "file:" not in value:
            lines.append(f"{name.rpartition('.')[2]} = {value.strip(chr(39))}")
    (root / "etc/pip.conf").write_text("\n".join(lines) + "\n")


def _pairs(environment: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]
