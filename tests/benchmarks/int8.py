"""INT8 through the service, compared with floating point through the service and with the naive path: frames per CPU
second, 1280x720 JPEG.

The naive path: OpenCV decodes the whole picture, letterboxes it to a square of 640 px, and runs one synchronous request
of the floating-point network, in f32 and in the CPU's fastest float. Needs the model `yolo11n-int8`, see
docs/models.md.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Load, draw_picture, measure, running

_NAME = "yolo11n-int8"
_TURNS, _FRAMES = 3, 60


def run(folder: Path) -> list[Row]:
    if not (ROOT / "models" / _NAME).exists():
        print(
            f"int8: skipped; model {_NAME} not found. Create it with: appliance model quantize yolo11n", file=sys.stderr
        )
        return []
    picture = draw_picture(folder)
    naive, naive_f32, float_, f32, ours = [], [], [], [], []
    for _ in range(_TURNS):
        naive.append(_naive_ms(picture, ""))
        f32.append(_served(picture, "engine.precision=f32"))
        ours.append(_served(picture, f"model.name={_NAME}"))
        float_.append(_served(picture))
        naive_f32.append(_naive_ms(picture, "f32"))
    cpu_ms = [load.cpu_ms for load in ours]
    return [
        _row("int8: frames per CPU second, ours at 640x384 / naive in f32", naive_f32, cpu_ms, 3.0),
        _row("int8: the same, naive in the CPU's fastest float", naive, cpu_ms, 3.0),
        _row("int8: the same, through the service in f32", [load.cpu_ms for load in f32], cpu_ms, 2.0),
        _row("int8: the same, through the service in its fastest float", [load.cpu_ms for load in float_], cpu_ms, 1.4),
        Row("int8: frames a second, through the service, ours / its fastest float",
            statistics.median(mine.fps / theirs.fps for mine, theirs in zip(ours, float_, strict=True)), 1.4, False,
            f"{statistics.median(load.fps for load in ours):.1f} / "
            f"{statistics.median(load.fps for load in float_):.1f}"),
    ]  # fmt: skip


def _row(what: str, theirs: list[float], ours: list[float], goal: float) -> Row:
    """`theirs`, `ours`: CPU ms of a frame in each turn."""
    ratio = statistics.median(one / mine for one, mine in zip(theirs, ours, strict=True))
    detail = f"CPU ms per frame: {statistics.median(theirs):.1f} / {statistics.median(ours):.1f}"
    return Row(what, ratio, goal, False, detail)


def _served(picture: Path, *settings: str) -> Load:
    """Four cameras through the service."""
    with running(*settings) as service:
        return measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8")


def _naive_ms(picture: Path, precision: str) -> float:
    """CPU ms of a frame, in a separate process."""
    command = [sys.executable, "-m", "tests.benchmarks.int8", str(picture), precision]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def _naive(picture: Path, precision: str) -> None:
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    core = openvino.Core()
    network = core.read_model(ROOT / "models/yolo11n/model.xml")
    network.reshape([1, 3, 640, 640])
    compiled = core.compile_model(network, "CPU", options)
    data = np.frombuffer(picture.read_bytes(), np.uint8)

    def frame() -> None:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert image is not None
        square = np.full((640, 640, 3), 114, np.uint8)
        square[140:500] = cv2.resize(image, (640, 360))
        tensor = np.ascontiguousarray(square[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        raw = compiled(tensor)[0][0]
        boxes, scores = raw[:4].T, raw[4:].max(axis=0)
        cv2.dnn.NMSBoxes(boxes[scores > 0.25].tolist(), scores[scores > 0.25].tolist(), 0.25, 0.7)

    frame()
    started_s = time.process_time()
    for _ in range(_FRAMES):
        frame()
    print((time.process_time() - started_s) / _FRAMES * 1000)


if __name__ == "__main__":
    _naive(Path(sys.argv[1]), sys.argv[2])
