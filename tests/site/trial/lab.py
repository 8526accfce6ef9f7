"""The trial's machines: devices and the front, in network namespaces where the caller is root."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.control.client import Control
from tests import boards
from tests.conftest import ROOT
from tests.site.trial.device import replace_text
from tests.site.trial.quota import Quotas

_BRIDGE = "site0"
_FRONT_ADDRESS = "10.77.0.254"
_COOL_C = 35.0
_FIRMWARE = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware"
_UNDER_VOLTAGE = (f"{_FIRMWARE}/raspberrypi-hwmon/hwmon/hwmon2/in0_lcrit_alarm", f"{_FIRMWARE}/get_throttled")
_READY_S = 60.0
_MOVE = re.compile(r"camera (\S+) is asked to move: (\w+)")


def run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True, timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Device:
    """One device; `start` returns when it is ready."""

    name: str
    address: str
    port: int
    agent_port: int
    folder: Path
    front: str
    bus_port: int
    route_port: int
    namespaced: bool
    quotas: Quotas
    settings: Sequence[str] = ()
    settle_s: float = 60.0
    bus: subprocess.Popen[bytes] | None = None
    """Its NATS server."""
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        if not (self.folder / "board").exists():
            board = boards.lay_out("pi5", self.folder / "board")
            for path in _UNDER_VOLTAGE:
                boards.put(board, path, "0\n")
            self.ambient(_COOL_C)
        flags = {
            "server.host": self.address,
            "server.port": str(self.port),
            "server.trusted_proxies": self.front,
            "server.max_connections_per_address": "5000",
            "site.agent_port": str(self.agent_port),
            "site.settle_s": f"{self.settle_s:.0f}",
            "access.auth": "off",
            "access.health": "full",
            "tls.enabled": "false",
            "cache.enabled": "false",
            "state.dir": str(self.folder / "state"),
        }
        command = [sys.executable, "-m", "tests.site.trial.device", self.name, str(self.folder)]
        command += [*(f"{key}={value}" for key, value in flags.items()), *self.settings]
        if self.namespaced:
            command = ["ip", "netns", "exec", self.name, *command]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=log,
                env=os.environ | {"APPLIANCE_CONTROL": str(self.folder / "c.sock"), "APPLIANCE_CONFIG": os.devnull},
            )  # fmt: skip
        self.quotas.put(self.name, self.process.pid)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", (self.folder / "log").read_text()[-2000:]

    def start_bus(self, lab: Lab) -> None:
        """Its NATS server, in a mesh with those of the others."""
        routes = ",".join(f"nats://{one.address}:{one.route_port}" for one in lab.devices if one is not self)
        command = [lab.nats, "-a", self.address, "-p", str(self.bus_port), "--cluster_name", "site", "--cluster",
                   f"nats://{self.address}:{self.route_port}", "--routes", routes]  # fmt: skip
        if self.namespaced:
            command = ["ip", "netns", "exec", self.name, *command]
        with (self.folder / "nats.log").open("ab") as log:
            self.bus = subprocess.Popen(command, stdout=log, stderr=log)
        self.quotas.put(self.name, self.bus.pid)

    def stop_bus(self) -> None:
        if self.bus is not None:
            self.bus.send_signal(signal.SIGCONT)
            self.bus.kill()
            self.bus.wait()
            self.bus = None

    def freeze_bus(self) -> None:
        assert self.bus is not None
        self.bus.send_signal(signal.SIGSTOP)

    @property
    def control(self) -> Control:
        return Control([self.folder / "c.sock"])

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def stop(self) -> None:
        """As `systemctl stop` does."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        self.process.wait(20)
        self.kill()

    def ambient(self, temp_c: float) -> None:
        """Set how warm it is around the board."""
        replace_text(self.folder / "ambient", str(temp_c))

    def cool(self) -> None:
        """Let it be as warm as usual around the board."""
        self.ambient(_COOL_C)

    def published(self) -> list[dict[str, float]]:
        """What each of its processes has written about publishing, last."""
        lines = [one.read_text().splitlines() for one in self.folder.glob("publish.*")]
        return [json.loads(one[-1]) for one in lines]

    def moves(self) -> Counter[tuple[str, str]]:
        """How often it has asked each camera to move, by camera and reason."""
        return Counter(_MOVE.findall((self.folder / "log").read_text()))

    def unplug(self, out: bool) -> None:
        """Pull the network cable, or plug it in again. Needs namespaces."""
        run("ip", "link", "set", f"v{self.name}", "down" if out else "up")


@dataclass
class Lab:
    """All machines. `url`: of the front."""

    folder: Path
    devices: list[Device]
    config: Path
    url: str
    namespaced: bool
    haproxy: str
    nats: str
    quotas: Quotas
    front: subprocess.Popen[bytes] | None = None

    def start_front(self) -> None:
        with (self.folder / "haproxy.log").open("ab") as log:
            self.front = subprocess.Popen([self.haproxy, "-db", "-f", str(self.config)], stdout=log, stderr=log)
        until = time.monotonic() + _READY_S
        host, _, port = self.url.removeprefix("http://").partition(":")
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            time.sleep(0.05)
        raise AssertionError("haproxy does not listen")

    def stop_front(self) -> None:
        if self.front is not None:
            self.front.terminate()
            self.front.wait(10)
            self.front = None

    def device(self, name: str) -> Device:
        return next(one for one in self.devices if one.name == name)


@contextlib.contextmanager
def lab(
    folder: Path, names: Sequence[str], *, namespaced: bool, cores: float, settle_s: float, settings: Sequence[str] = ()
) -> Iterator[Lab]:
    """Start the devices, each with this many `cores` of CPU time for all its programs, and the front."""
    haproxy = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert haproxy is not None, "haproxy is not installed: apt install haproxy"
    nats = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert nats is not None, "nats-server is not installed: apt install nats-server"
    front = _FRONT_ADDRESS if namespaced else "127.0.0.1"
    devices = []
    quotas = Quotas(list(names), cores)
    for number, name in enumerate(names, 1):
        (folder / name).mkdir()
        address = f"10.77.0.{number}" if namespaced else "127.0.0.1"
        ports = (8080, 8081) if namespaced else (free_port(), free_port())
        bus = (4222, 6222) if namespaced else (free_port(), free_port())
        devices.append(Device(name, address, *ports, folder / name, front, *bus, namespaced, quotas, settle_s=settle_s))
    for device in devices:  # its own server first
        servers = sorted(devices, key=lambda one: one is not device)
        urls = ",".join(f"nats://{one.address}:{one.bus_port}" for one in servers)
        device.settings = (f"site.device={device.name}", f"site.bus_servers={urls}", *settings)
    url = f"http://{front}:{free_port()}"
    one = Lab(folder, devices, folder / "haproxy.cfg", url, namespaced, haproxy, nats, quotas)
    try:
        if namespaced:
            _wire(names)
        for device in devices:
            device.start_bus(one)
        for device in devices:
            device.start()
        _configure(one)
        one.start_front()
        yield one
    finally:
        one.stop_front()
        for device in devices:
            device.kill()
            device.stop_bus()
        quotas.close()
        if namespaced:
            _unwire(names)


def _configure(one: Lab) -> None:
    """The configuration as the command writes it, without what a process of a test may not do."""
    listing = [f'[front]\ntls = "none"\nbind = "{one.url.removeprefix("http://")}"']
    listing += [
        f'[[device]]\nname = "{device.name}"\naddress = "{device.address}"\nport = {device.port}\n'
        f"agent_port = {device.agent_port}\ntls = false"
        for device in one.devices
    ]
    written = one.folder / "site.toml"
    written.write_text("\n".join(listing) + "\n")
    command = [sys.executable, str(ROOT / "provisioning/site/front.py"), str(written)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    one.config.write_text(without_privileges(text))


def without_privileges(text: str) -> str:
    """haproxy.cfg for a process of a test, which logs to its output."""
    text = re.sub(r"^    (chroot|stats socket|user|group).*\n", "", text, flags=re.MULTILINE)
    text = text.replace("log /dev/log local0", "log stderr format raw local0")
    text = text.replace("log global\n", "log global\n    option httplog\n")
    return text.replace("127.0.0.1:10000", f"127.0.0.1:{free_port()}")


def _wire(names: Sequence[str]) -> None:
    _unwire(names)
    run("ip", "link", "add", _BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{_FRONT_ADDRESS}/24", "dev", _BRIDGE)
    run("ip", "link", "set", _BRIDGE, "up")
    for number, name in enumerate(names, 1):
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"v{name}", "master", _BRIDGE, "up")
        run("ip", "-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")


def _unwire(names: Sequence[str]) -> None:
    for name in names:
        run("ip", "netns", "del", name, check=False)
        run("ip", "link", "del", f"v{name}", check=False)
    run("ip", "link", "del", _BRIDGE, check=False)
