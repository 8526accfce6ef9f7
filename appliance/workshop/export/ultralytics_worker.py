"""A program for the environment that has ultralytics: exports weights as ONNX, and says what they see themselves.

It is never imported: `ultralytics_process.py` starts it with one argument, a job as JSON, in a folder that it may fill.
Its last line is the answer. Loading a .pt file runs code that is in it: only weights that one trusts belong here.
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
    """The model, out of a copy: the export is written beside its weights."""
    if Path(weights).is_file():
        weights = shutil.copyfile(weights, Path(weights).name)
    return ultralytics.YOLO(weights)


def seen_by(model: Any, job: dict[str, Any]) -> list[list[Any]]:
    """Of each picture: name, class, confidence and box of what is found."""

    def no_warm_up(predictor: Any) -> None:
        if importlib.util.find_spec("torchvision") is None:
            predictor.done_warmup = True  # on the CPU it is nothing but `import torchvision`

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
    os.dup2(2, 1)  # whatever ultralytics prints goes to the log
    found = seen_by(load(job["weights"]), job)
    onnx = load(job["weights"]).export(format="onnx", dynamic=True, simplify=False, imgsz=job["side"], device="cpu")
    tools = {name: version(name) for name in ("ultralytics", "torch", "onnx")}
    print(json.dumps({"onnx": str(Path(onnx).resolve()), "found": found, "tools": tools}), file=answers)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
