"""A program for Ultralytics' environment: export weights as ONNX, and run them on pictures.

Never import it: `ultralytics_process.py` starts it in a temporary folder, with a job as JSON in its only argument. The
last line of its output is the answer. Loading a .pt file runs code in it: use only weights that you trust.
"""

import importlib.util
import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ultralytics


def load(weights: str) -> Any:
    """Load a copy of the weights: Ultralytics writes the export next to them."""
    if Path(weights).is_file():
        weights = shutil.copyfile(weights, Path(weights).name)
    return ultralytics.YOLO(weights)


def detections_of(model: Any, job: dict[str, Any]) -> list[list[Any]]:
    """The name, class, confidence and box of each detection, for each picture."""

    def no_warm_up(predictor: Any) -> None:
        if importlib.util.find_spec("torchvision") is None:
            predictor.done_warmup = True  # on the CPU, warming up does nothing but import torchvision

    model.add_callback("on_predict_start", no_warm_up)
    found = []
    for picture in job["pictures"]:
        (result,) = model.predict(
            picture, imgsz=job["side"], conf=job["least"], iou=job["iou"], device="cpu", verbose=False
        )
        boxes = result.boxes if result.boxes is not None else result.obb
        rows = zip(boxes.cls.tolist(), boxes.conf.tolist(), boxes.xyxy.tolist(), strict=True)
        found.append([(result.names[int(number)], int(number), sure, box) for number, sure, box in rows])
    return found


def main(job: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # everything that ultralytics prints goes to the log
    found = detections_of(load(job["weights"]), job)
    onnx = load(job["weights"]).export(format="onnx", dynamic=True, simplify=False, imgsz=job["side"], device="cpu")
    tools = {name: version(name) for name in ("ultralytics", "torch", "onnx")}
    print(json.dumps({"onnx": str(Path(onnx).resolve()), "found": found, "tools": tools}), file=answers)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
