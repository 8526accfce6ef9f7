"""Run Ultralytics in its own environment, so that the service's environment never contains torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import programs
from appliance.errors import ModelError
from appliance.values import Box, Detection
from appliance.workshop.environment import Environment, variables

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
        ("--no-deps", "ultralytics==8.4.190"),  # it depends on torchvision, and on OpenCV with a GUI
    ),
    size_mb=1500,
    code="export_failed",
    # torchvision is only built for torch with CUDA. Ultralytics checks its version, but has its own NMS.
    only_metadata=("torchvision==0.28.0",),
)
WORKER = Path(__file__).with_name("ultralytics_worker.py")
_LONGEST_S = 1800.0


@dataclass(frozen=True, slots=True)
class Exported:
    """The exported ONNX file, and the detections of the weights in each picture."""

    onnx: Path
    found: list[list[Detection]]
    tools: dict[str, str]


def run(
    python: Path, weights: str, pictures: Sequence[Path], scratch: Path, *, side: int, least: float, iou: float
) -> Exported:
    """Export the weights (a file, or a name that Ultralytics downloads) and run them on the pictures.

    `side`: longest side of the input, px; `least`: lowest confidence of a detection. Raises ModelError export_failed.
    """
    job = {"weights": weights, "pictures": [str(path.resolve()) for path in pictures], "side": side, "least": least,
           "iou": iou}  # fmt: skip
    environ = variables() | {"YOLO_CONFIG_DIR": str(scratch)}
    if not Path(weights).is_file():
        environ["YOLO_OFFLINE"] = "false"  # it must download them
    try:
        command = [str(python), str(WORKER), json.dumps(job)]
        answer = programs.run_json(command, timeout_s=_LONGEST_S, cwd=scratch, env=environ)
    except programs.ProgramFailed as error:
        raise ModelError(_why(weights, error), "export_failed") from None
    found = [[Detection(name, int(number), sure, Box(*box)) for name, number, sure, box in picture]
             for picture in answer["found"]]  # fmt: skip
    return Exported(scratch / answer["onnx"], found, answer["tools"])


def _why(weights: str, error: programs.ProgramFailed) -> str:
    if error.out_of_memory:
        return f"the export failed: {error}. Export on another computer and copy the folder"
    if not Path(weights).is_file():
        return f"{weights} is not a file, and downloading it failed: {error}. Download it yourself and pass its path"
    return f"{weights} cannot be exported: {error}"
