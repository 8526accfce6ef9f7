"""INT8 through the service, compared with the naive path: frames per CPU second, 1280x720 JPEG.

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
from tests.benchmarks.service import ROOT, draw_picture, measure, running

_NAME = "yolo11n-int8"
_TURNS, _FRAMES = 3, 60


def run(folder: Path) -> list[Row]:
    if not (ROOT / "models" / _NAME).exists():
        print(
            f"int8: skipped; model {_NAME} not found. Create it with: appliance model quantize yolo11n", file=sys.stderr
        )
        return []
    picture = draw_picture(folder)
    naive, naive_f32, ours = [], [], []
    for _ in range(_TURNS):
        naive.append(_naive_ms(picture, ""))
        with running(f"model.name={_NAME}") as service:
            ours.append(measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8").cpu_ms)
        naive_f32.append(_naive_ms(picture, "f32"))
    detail = f"CPU ms per frame: {statistics.median(naive):.1f} / {statistics.median(ours):.1f}"
    ratios = [theirs / mine for theirs, mine in zip(naive, ours, strict=True)]
    ratios_f32 = [theirs / mine for theirs, mine in zip(naive_f32, ours, strict=True)]
    return [
        Row(
            "int8: frames per CPU second, ours at 640x384 / naive in f32",
            statistics.median(ratios_f32),
            3.0,
            False,
            f"CPU ms per frame: {statistics.median(naive_f32):.1f} / {statistics.median(ours):.1f}",
        ),
        Row("int8: the same, naive in the CPU's fastest float", statistics.median(ratios), 3.0, False, detail),
    ]


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
