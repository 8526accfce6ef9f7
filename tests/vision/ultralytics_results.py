"""Record Ultralytics' results for raw outputs, for test_against_ultralytics.py.

Runs in the environment that tests/evaluation creates: `python -m tests.vision.ultralytics_results FILE.npz`. Each
network is built from Ultralytics' configuration with untrained weights, so that only numbers are kept. Its confidences
are replaced by random ones, because untrained ones are all similar. All raw numbers are rounded to 16 bits first, so
that both sides process the same input.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import cv2
import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]  # only in that environment
from ultralytics.cfg import get_cfg
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.models.yolo.obb import OBBPredictor
from ultralytics.models.yolo.pose import PosePredictor
from ultralytics.models.yolo.segment import SegmentationPredictor
from ultralytics.nn.tasks import DetectionModel, OBBModel, PoseModel, SegmentationModel
from ultralytics.utils import ops

IMAGE, INPUT = (190, 301), (64, 96)
"""Height and width of the image and of the network's input."""
CLASSES, IOU, LEAST = 3, 0.7, 0.5
NETWORKS = {
    "detect": (
        DetectionModel,
        DetectionPredictor,
        ("yolov5", "yolov8", "yolo11", "yolov10n", "yolov10n!", "yolo26", "yolo26!"),
    ),
    "segment": (SegmentationModel, SegmentationPredictor, ("yolov8-seg", "yolo11-seg", "yolo26-seg", "yolo26-seg!")),
    "pose": (PoseModel, PosePredictor, ("yolo11-pose", "yolo26-pose", "yolo26-pose!")),
    "obb": (OBBModel, OBBPredictor, ("yolo11-obb", "yolo26-obb", "yolo26-obb!")),
}
"""By task; `!` marks an end-to-end export."""


def raw_of(model: Any, seed: int) -> list[Any]:
    """The outputs of an exported network for one input, with random confidences."""
    head = model.model[-1]
    head.export = True  # as the exporter does: outputs only
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        found = model(torch.rand((1, 3, *INPUT), generator=generator))
    outputs = [found] if isinstance(found, torch.Tensor) else [one for one in found if isinstance(one, torch.Tensor)]
    first = outputs[0]
    if end_to_end(model):
        first[0, :, 4] = torch.linspace(0.9, 0.1, first.shape[1])
        first[0, :, 5] = torch.randint(0, len(model.names), (first.shape[1],), generator=generator)
    else:
        scores = first[0, 4 : 4 + len(model.names)]
        order = torch.randperm(scores.numel(), generator=generator)  # no ties, whose order would be arbitrary
        scores[:] = order.reshape(scores.shape) * 0.7 / scores.numel()
    return [one.half().float() for one in outputs]


def end_to_end(model: Any) -> bool:
    return bool(getattr(model, "end2end", False))


def rows_of(task: str, result: Any) -> list[Any]:
    """One row of numbers for each object: class, confidence, coordinates."""
    data = result.obb if task == "obb" else result.boxes
    places = data.xyxyxyxy.reshape(-1, 8) if task == "obb" else data.xyxy
    rows = torch.cat((data.cls[:, None], data.conf[:, None], places), dim=1)
    if task == "pose":
        rows = torch.cat((rows, result.keypoints.data.reshape(len(rows), -1)), dim=1)
    return list(rows.numpy())


def outlines_of(result: Any) -> list[Any]:
    """The outline of the largest part of each mask, in image pixels."""
    found = []
    for mask in result.masks.data.byte().numpy() if result.masks is not None else ():
        pieces, _ = cv2.findContours(np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        largest = max(pieces, key=cv2.contourArea).reshape(-1, 2).astype(np.float32)
        found.append(ops.scale_coords(mask.shape, largest, IMAGE))
    return found


def main(file: str) -> None:
    arrays: dict[str, Any] = {}
    for task, (network, predictor_class, names) in NETWORKS.items():
        for seed, name in enumerate(names):
            torch.manual_seed(seed)
            classes = 1 if task == "pose" else CLASSES
            model = network(f"{name.rstrip('!')}.yaml", nc=classes, verbose=False).eval()
            model.end2end = name.endswith("!")
            model.names = {number: str(number) for number in range(classes)}
            model.task = task
            outputs = raw_of(model, seed)
            for number, one in enumerate(outputs):
                arrays[f"{name}/raw{number}"] = one[0].half().numpy()
            predictor = predictor_class(overrides={"conf": LEAST, "iou": IOU, "max_det": 20, "task": task})
            predictor.args = get_cfg(overrides={"conf": LEAST, "iou": IOU, "max_det": 20, "task": task})
            predictor.model, predictor.batch = model, (["a picture"], None, None)
            picture = [np.zeros((*IMAGE, 3), np.uint8)]
            given = outputs if task == "segment" else outputs[0]
            (result,) = predictor.postprocess(given, torch.zeros((1, 3, *INPUT)), picture)
            arrays[f"{name}/end_to_end"] = np.array(end_to_end(model))
            arrays[f"{name}/rows"] = rows_of(task, result)
            if task == "segment":
                outlines = outlines_of(result)
                arrays[f"{name}/outline_lengths"] = np.array([len(one) for one in outlines])
                arrays[f"{name}/outlines"] = np.concatenate(outlines) if outlines else np.zeros((0, 2))
            print(name, end_to_end(model), [tuple(one.shape) for one in outputs], len(arrays[f"{name}/rows"]))
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
