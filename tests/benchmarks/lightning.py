"""The service compared with LitServe (lightning_server.py: the same network, one worker), in turns, with four cameras.

Each camera has one frame in flight: over Socket.IO to the service, and as an HTTP upload to LitServe.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Load, Service, draw_picture, measure, running

_TURNS = int(os.environ.get("TURNS", "3"))
_PACKAGES = ("litserve>=0.2.19,<0.3", "python-multipart")
_CAMERAS = ("--cameras", "4", "--in-flight", "1", "--seconds", "10")


def run(folder: Path) -> list[Row]:
    packages, picture = ROOT / ".cache/litserve", draw_picture(folder)
    if not packages.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(packages), *_PACKAGES], check=True)
    theirs: list[Load] = []
    ours: list[Load] = []
    for turn in range(_TURNS):
        with _litserve(packages) as service:
            theirs.append(measure(service, picture, *_CAMERAS, "--mode", "post", "--upload", "/predict"))
        with running("cache.enabled=false") as service:
            ours.append(measure(service, picture, *_CAMERAS))
        print(f"turn {turn + 1}: {_detail(ours[-1], theirs[-1])}", flush=True)
    pairs = list(zip(ours, theirs, strict=True))
    detail = "; ".join(_detail(one, other) for one, other in pairs)
    return [
        Row("LitServe: frames per second, four cameras, ours / LitServe",
            statistics.median(one.fps / other.fps for one, other in pairs), 2.0, False, detail),
        Row("LitServe: CPU time per frame, ours / LitServe",
            statistics.median(one.cpu_ms / other.cpu_ms for one, other in pairs), 0.6, True, ""),
    ]  # fmt: skip


def _detail(ours: Load, theirs: Load) -> str:
    return (
        f"{ours.fps:.0f}/{theirs.fps:.0f} fps, CPU {ours.cpu_ms:.1f}/{theirs.cpu_ms:.1f} ms, "
        f"{ours.latency_ms(50):.0f}/{theirs.latency_ms(50):.0f} ms"
    )


@contextmanager
def _litserve(packages: Path) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Path(__file__).with_name("lightning_server.py")
    process = subprocess.Popen(
        [sys.executable, str(server), str(ROOT / "models/yolo11n/model.xml"), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(packages)},
    )  # fmt: skip
    parent = psutil.Process(process.pid)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline_s = time.monotonic() + 60
        while not _answers(f"{url}/health"):
            assert process.poll() is None, "LitServe did not start"
            assert time.monotonic() < deadline_s, "LitServe is not ready"
            time.sleep(0.2)
        yield Service(url, parent)
    finally:
        everything = [*parent.children(recursive=True), parent]
        for one in everything:
            one.kill()
        psutil.wait_procs(everything, timeout=10)
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
