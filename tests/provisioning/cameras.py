"""Cameras that send to a device in a container: the documented clients and our agent, run on this machine.

They are in the device's network, so that they connect to its loopback address like a program on the device.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.boot.container import Container
from tests.clients import nodejs
from tests.clients.conftest import INSTALLED
from tests.conftest import ROOT

_URL = "http://127.0.0.1:8080"
_CLIENTS = ROOT / "docs/clients"


class Cameras:
    """When each camera got its answers, s of the monotonic clock."""

    def __init__(self, names: Sequence[str]) -> None:
        self.answered_s: Mapping[str, list[float]] = {name: [] for name in names}

    def longest_gap_s(self, name: str, since_s: float) -> float:
        """The longest time between two answers."""
        times_s = [at_s for at_s in self.answered_s[name] if at_s >= since_s]
        return max((after - before for before, after in itertools.pairwise(times_s)), default=0.0)

    def answering(self, since_s: float, least: int = 3) -> bool:
        """Whether every camera has got answers since then."""
        return all(sum(at_s > since_s for at_s in times_s) >= least for times_s in self.answered_s.values())


@contextmanager
def sending(device: Container, folder: Path) -> Iterator[Cameras]:
    """A client in Python, one in JavaScript and the camera agent, until the block ends. `folder`: for their picture.

    Skips the test without Node.js.
    """
    node = nodejs.install(INSTALLED, "socket.io-client", "4")
    picture = folder / "frame.jpg"
    pixels, _ = scene.draw(Size(1280, 720))
    picture.write_bytes(encode_jpeg(pixels, 90))
    commands = {
        "python-socketio": [sys.executable, str(_CLIENTS / "camera.py"), _URL, "python", str(picture)],
        "socket.io-client": [node, str(_CLIENTS / "camera.js"), _URL, "javascript", str(picture)],
        "agent": [sys.executable, "-m", "appliance", "camera", "--to", _URL, "--name", "agent", "--json",
                  "--set", "camera.source=demo"],
    }  # fmt: skip
    cameras = Cameras(tuple(commands))
    processes = [_start(device, command, cameras.answered_s[name]) for name, command in commands.items()]
    try:
        yield cameras
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(device: Container, command: Sequence[str], answered_s: list[float]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "nsenter", "--target", str(device.leader), "--net", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        env=os.environ | {"NODE_PATH": str(INSTALLED / "node_modules")},
    )  # fmt: skip

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if "detection_results" in line or line.startswith("{"):
                    answered_s.append(time.monotonic())

    threading.Thread(target=read, daemon=True).start()
    return process
