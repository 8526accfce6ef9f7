"""Run Ultralytics' predictor on the same pictures with the same weights.

It runs in the environment of environment.py: `python -m tests.evaluation.ultralytics_predictor --help`.

The input size depends on the model: for an ONNX export with `dynamic` in its metadata, `predict` letterboxes to the
smallest rectangle of whole strides (640x448 for a 640x427 picture), as it does for .pt files. With `rect=False` or a
static export it uses 640x640. The evaluation needs both, so the mode is an argument. A hook on the network records the
actual input size.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_OFFLINE", "true")  # otherwise it checks for updates and sends usage data
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import onnxruntime  # type: ignore[import-not-found, unused-ignore]  # both exist only in that environment
import ultralytics  # type: ignore[import-not-found, unused-ignore]

from .coco import Det, Predictions, read


def predict(data: Path, onnx: Path, rect: bool, iou: float, max_detections: int, conf: float) -> Predictions:
    """Run the predictor on every picture of a folder, one at a time, on the CPU."""
    model = ultralytics.YOLO(onnx, task="detect")
    shapes: list[tuple[int, ...]] = []

    def record_sizes(predictor: Any) -> None:
        if shapes:
            return
        predictor.model.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
        if importlib.util.find_spec("torchvision") is None:
            predictor.done_warmup = True  # on the CPU, warming up does nothing but import torchvision

    model.add_callback("on_predict_start", record_sizes)
    dets: list[Det] = []
    sizes: dict[str, str] = {}
    for picture in read(data):
        (result,) = model.predict(
            str(picture.path),
            imgsz=640,
            conf=conf,
            iou=iou,
            max_det=max_detections,
            rect=rect,
            device="cpu",
            verbose=False,
            save=False,
        )
        _, _, height, width = shapes[-1]
        sizes[str(picture.image_id)] = f"{width}x{height}"
        for x1, y1, x2, y2, score, class_id in result.boxes.data.tolist():
            box_px = [x1, y1, x2 - x1, y2 - y1]
            dets.append({"image_id": picture.image_id, "category_id": int(class_id), "bbox": box_px, "score": score})
    if len(shapes) != len(sizes):
        raise RuntimeError(f"the network ran {len(shapes)} times for {len(sizes)} pictures")
    by = f"ultralytics {ultralytics.__version__}, onnxruntime {onnxruntime.__version__}, rect={rect}"
    return {"by": by, "input_sizes": sizes, "dets": dets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--square", action="store_true", help="640x640 for every picture")
    parser.add_argument("--iou", type=float, required=True)
    parser.add_argument("--max-detections", type=int, required=True)
    parser.add_argument("--conf", type=float, required=True, help="lowest confidence, 0-1")
    args = parser.parse_args()
    found = predict(args.data, args.onnx, not args.square, args.iou, args.max_detections, args.conf)
    args.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
