"""A network cable between a booted container and another machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.boot.container import Container


@contextmanager
def camera_on_a_cable(device: Container) -> Iterator[list[str]]:
    """Connect the device to another machine; return the command prefix that runs a program there."""
    other = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    there = ["nsenter", "--target", str(other.pid), "--net"]
    here = ["nsenter", "--target", str(device.leader), "--net"]
    steps = (
        [*here, "ip", "link", "add", "late0", "type", "veth", "peer", "name", "camera0", "netns", str(other.pid)],
        [*here, "ip", "address", "add", "192.168.77.1/24", "dev", "late0"],
        [*there, "ip", "address", "add", "192.168.77.2/24", "dev", "camera0"],
        [*here, "ip", "link", "set", "late0", "up"],
        [*there, "ip", "link", "set", "camera0", "up"],
    )
    try:
        device.wait_until("a network of its own", lambda: _network(other.pid) != _network(os.getpid()))
        for step in steps:
            subprocess.run(step, check=True)
        yield there
    finally:
        other.kill()
        other.wait()


def _network(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")
