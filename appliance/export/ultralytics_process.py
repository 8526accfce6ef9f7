"""Ultralytics at work: its program runs in an environment of its own, so that the service's never holds torch."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ModelError
from appliance.models.environment import Environment, variables
from appliance.values import Box, Detection

ENVIRONMENT = Environment(
    "Ultralytics",
    (
        ("torch==2.13.0",),
        (
            "numpy>=1.26,<3",
            "opencv-python-headless>=4.9,<6",
            "matplotlib",
            "onnx>=1.17,<2",
            "pillow",
            "polars",
            "psutil",
            "pyyaml",
            "requests",
            "ultralytics-thop",
        ),
        ("--no-deps", "ultralytics==8.4.190"),  # its list names torchvision, and OpenCV with a screen
    ),
    size_mb=1500,
    code="export_failed",
    # torchvision's builds for torch with CUDA are no use here; ultralytics asks for its version, and has an NMS itself.
    only_metadata=("torchvision==0.28.0",),
)
WORKER = Path(__file__).with_name("ultralytics_worker.py")
_LONGEST_S = 1800


@dataclass(frozen=True, slots=True)
class Exported:
    """What came out: an ONNX file, and what the weights themselves see in the pictures."""

    onnx: Path
    found: list[list[Detection]]
    tools: dict[str, str]


def run(
    python: Path, weights: str, pictures: Sequence[Path], scratch: Path, *, side: int, least: float, iou: float
) -> Exported:
    """Export the weights (a file, or a name that Ultralytics can fetch) and ask them what is in the pictures.

    `side`: longest side of the input, px; `least`: lowest confidence told. Raises ModelError export_failed.
    """
    job = {"weights": weights, "pictures": [str(path.resolve()) for path in pictures], "side": side, "least": least,
           "iou": iou}  # fmt: skip
    environ = variables() | {"YOLO_CONFIG_DIR": str(scratch)}
    if not Path(weights).is_file():
        environ["YOLO_OFFLINE"] = "false"  # it is to fetch them
    try:
        done = subprocess.run(
            [str(python), str(WORKER), json.dumps(job)],
            cwd=scratch, env=environ, capture_output=True, text=True, timeout=_LONGEST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"the export of {weights} took more than {_LONGEST_S // 60} minutes", "export_failed"
        ) from None
    if done.returncode:
        raise ModelError(_why(weights, done.returncode, done.stderr), "export_failed")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found = [[Detection(name, int(number), sure, Box(*box)) for name, number, sure, box in picture]
             for picture in answer["found"]]  # fmt: skip
    return Exported(scratch / answer["onnx"], found, answer["tools"])


def _why(weights: str, status: int, log: str) -> str:
    if status in (-9, 137):
        return "the export was stopped by the system: not enough memory. Do it on another computer, and copy the folder"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    why = lines[-1] if lines else f"status {status}"
    if not Path(weights).is_file():
        return f"{weights} is no file here, and could not be fetched: {why}. Download it and give its path"
    return f"{weights} cannot be exported: {why}"
