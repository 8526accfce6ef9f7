"""A fleet: devices in containers on one network, and Ansible that reaches them over SSH as a person with sudo.

The network is a namespace of its own: a bridge with the controller, to which each device has a cable.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.provisioning.blank import BlankDevice, blank_disk, switched_on

PLAYBOOKS = ROOT / "provisioning/fleet/ansible"
ANSIBLE = ROOT / ".cache/ansible/bin"
"""Where `make fleet-test` installs Ansible."""

PACKAGES = ("python3", "python3-systemd", "libgomp1", "ca-certificates", "openssh-server", "sudo")
_PERSON = "anna"
_RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)
_LONG_S = 1800


@dataclass(frozen=True)
class Played:
    """How a playbook went. `counts`: for each device, how many tasks were ok, changed, failed, and so on."""

    code: int
    output: str
    counts: Mapping[str, Mapping[str, int]]

    def of_each(self, what: str) -> dict[str, int]:
        return {name: counts[what] for name, counts in self.counts.items()}


class Fleet:
    """Devices by their names. `folder`: the controller's, with the inventory and what Ansible keeps."""

    def __init__(self, folder: Path, network: str, devices: Mapping[str, BlankDevice]) -> None:
        self.folder, self._network, self.devices = folder, network, devices
        self._addresses = {name: f"10.78.0.{number}" for number, name in enumerate(devices, 1)}

    def play(self, playbook: str, *options: str, **variables: Any) -> Played:
        """Run a playbook with variables of all devices."""
        hosts = {name: {"ansible_host": address} for name, address in self._addresses.items()}
        ssh = f"-o UserKnownHostsFile={self.folder}/known_hosts -o ConnectTimeout=5"
        shared = {
            "ansible_user": _PERSON, "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": ssh, **variables,
        }  # fmt: skip
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"devices": {"hosts": hosts, "vars": shared}}))
        done = self._at_controller(
            str(ANSIBLE / "ansible-playbook"), "-i", str(inventory), str(PLAYBOOKS / playbook), *options
        )
        output = done.stdout + done.stderr
        (self.folder / "last-play.log").write_text(output)
        recap = {
            name: {key: int(count) for key, count in (pair.split("=") for pair in counts.split())}
            for name, counts in _RECAP.findall(output)
        }
        return Played(done.returncode, output, recap)

    def status_of(self, name: str, path: str, token: str) -> str:
        """The HTTP status that the controller gets from a device, over the network."""
        url = f"https://{self._addresses[name]}:8080{path}"  # the device has made its certificate itself
        asked = self._at_controller("curl", "-sk", "-o", os.devnull, "-w", "%{http_code}", "-H",
                                    f"Authorization: Bearer {token}", url)  # fmt: skip
        return asked.stdout

    def plug(self, name: str, state: str) -> None:
        """Set the device's cable `up` or `down`."""
        _ip("-n", self._network, "link", "set", f"to-{name}", state)

    def _at_controller(self, *command: str) -> subprocess.CompletedProcess[str]:
        surroundings = {
            "ANSIBLE_HOME": str(self.folder / "ansible"), "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
        }  # fmt: skip
        return subprocess.run(
            ["ip", "netns", "exec", self._network, *command], capture_output=True, text=True, check=False,
            timeout=_LONG_S, env=os.environ | surroundings,
        )  # fmt: skip


@contextmanager
def switched_on_fleet(folder: Path, names: Sequence[str], options: Sequence[str]) -> Iterator[Fleet]:
    """Blank devices that a person may log in to, until the block ends. `options`: for systemd-nspawn."""
    network = f"fleet-{os.getpid()}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    with ExitStack() as stack:
        stack.callback(_ip, "netns", "delete", network)
        _ip("netns", "add", network)
        _ip("-n", network, "link", "add", "fleet0", "type", "bridge")
        _ip("-n", network, "address", "add", "10.78.0.254/24", "dev", "fleet0")
        _ip("-n", network, "link", "set", "fleet0", "up")
        devices = {}
        for number, name in enumerate(names, 1):
            disk = stack.enter_context(blank_disk("bookworm", PACKAGES))
            device = devices[name] = stack.enter_context(switched_on(disk, options))
            device.wait_until_active("ssh.service")
            _connect(network, name, device, f"10.78.0.{number}")
            _let_in(device, (folder / "key.pub").read_text())
            # Three devices share this machine: a release must not be undone because it stands still for 8 s.
            device.drop_in("appliance.service", "[Service]\nWatchdogSec=60s")
            key = device.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub")
            with (folder / "known_hosts").open("a") as known:
                known.write(f"10.78.0.{number} {key}\n")
        yield Fleet(folder, network, devices)


def _connect(network: str, name: str, device: BlankDevice, address: str) -> None:
    _ip("-n", network, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", str(device.leader))
    _ip("-n", network, "link", "set", f"to-{name}", "master", "fleet0", "up")
    device.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    device.run("ip", "link", "set", "eth0", "up")


def _let_in(device: BlankDevice, key: str) -> None:
    """A person with sudo and this SSH key."""
    device.write("/etc/hosts", f"127.0.0.1 localhost {device.run('hostname')}\n")
    device.write("/etc/resolv.conf", "")  # or sudo waits for a name server that is not there
    device.run("useradd", "--create-home", "--shell", "/bin/sh", _PERSON)
    device.write(f"/etc/sudoers.d/{_PERSON}", f"{_PERSON} ALL=(ALL) NOPASSWD: ALL\n")
    device.write(f"/home/{_PERSON}/.ssh/authorized_keys", key, f"{_PERSON}:")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)
