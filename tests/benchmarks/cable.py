"""Camera agent: time until the next answer after its cable, or the device's, was unplugged.

It uses real network links: the camera and the switch are network namespaces, and taking down the switch's end of a link
unplugs the cable. Needs root. The kernel reports the camera's own unplugged cable; if the device's cable is unplugged,
packets are lost without a report.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, running

_OUT_S = (1.0, 5.0, 60.0)
_BACK_WITHIN_S = 5.0
_SWITCH, _CAMERA = "cable-switch", "cable-camera"
_DEVICE_ADDRESS, _CAMERA_ADDRESS = "198.18.7.1", "198.18.7.2"  # from the range that is reserved for benchmarks


def run(folder: Path) -> list[Row]:
    if os.geteuid() != 0:
        print("cable: skipped; creating network namespaces needs root", file=sys.stderr)
        return []
    with (
        _network(),
        running("flow.min_interval_s=0.1", "cache.enabled=false", "tls.enabled=false", host=_DEVICE_ADDRESS) as service,
        _pushing(service.url) as answered_s,
    ):
        return [_pulled(answered_s, whose, out_s) for whose in ("camera", "device") for out_s in _OUT_S]


def _pulled(answered_s: deque[float], whose: str, out_s: float) -> Row:
    _next_after(time.monotonic() + 1.0, answered_s)
    _ip("-n", _SWITCH, "link", "set", f"to-{whose}", "down")
    time.sleep(out_s)
    _ip("-n", _SWITCH, "link", "set", f"to-{whose}", "up")
    restored_s = time.monotonic()
    gap_s = _next_after(restored_s, answered_s) - restored_s
    claim = f"cable: s to the next answer, {whose}'s cable out for {out_s:.0f} s"
    return Row(claim, gap_s, _BACK_WITHIN_S, True, "at the camera, after the link is restored")


def _next_after(moment_s: float, answered_s: deque[float]) -> float:
    while not answered_s or answered_s[-1] <= moment_s:
        assert time.monotonic() < moment_s + 60, "the camera got no answer within a minute"
        time.sleep(0.01)
    return answered_s[-1]


@contextlib.contextmanager
def _pushing(url: str) -> Iterator[deque[float]]:
    """Run a camera at the far end; yield the time of its latest answer."""
    command = ["ip", "netns", "exec", _CAMERA, sys.executable, "-m", "appliance", "camera",
               "--to", url, "--name", "far", "--source", "demo"]  # fmt: skip
    answered_s: deque[float] = deque(maxlen=1)

    def read(lines: IO[str]) -> None:
        for _ in lines:
            answered_s.append(time.monotonic())

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as agent:
        assert agent.stdout is not None
        reader = threading.Thread(target=read, args=(agent.stdout,))
        reader.start()
        try:
            yield answered_s
        finally:
            agent.terminate()
            reader.join()


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Connect this namespace (the device) and the camera's namespace to the switch's."""
    with contextlib.ExitStack() as made:
        for name in (_SWITCH, _CAMERA):
            _ip("netns", "add", name)
            made.callback(_ip, "netns", "delete", name)
        _ip("-n", _SWITCH, "link", "add", "switch", "type", "bridge")
        _ip("-n", _SWITCH, "link", "set", "switch", "up")
        _ip("link", "add", "to-switch", "type", "veth", "peer", "to-device", "netns", _SWITCH)
        made.callback(_ip, "link", "delete", "to-switch")
        _ip("-n", _CAMERA, "link", "add", "to-switch", "type", "veth", "peer", "to-camera", "netns", _SWITCH)
        for end in ("to-device", "to-camera"):
            _ip("-n", _SWITCH, "link", "set", end, "master", "switch", "up")
        for space, address in (([], _DEVICE_ADDRESS), (["-n", _CAMERA], _CAMERA_ADDRESS)):
            _ip(*space, "address", "add", f"{address}/24", "dev", "to-switch")
            _ip(*space, "link", "set", "to-switch", "up")
        yield


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
