"""Compute the mean average precision of predictions on labelled pictures.

The folder has Ultralytics' layout for COCO: `images/NAME.jpg` and `labels/NAME.txt`, with one object per line as
`class x_center y_center width height`, the last four as fractions of the picture. Class ids are 0-79 in COCO's usual
order. YOLO labels contain no crowd regions and no outlines, so the results are slightly below those with the full COCO
annotations, for both sides of a comparison alike.

`python -m tests.evaluation.coco DATA PREDICTIONS...` prints one JSON object, {file: Precision}. pycocotools is
installed only in the evaluation's environment, so only `precision` imports it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

CLASSES = 80
DATA = Path(os.environ.get("EVAL_DATA") or Path(__file__).resolve().parents[2] / ".cache/data").resolve()
"""Test data that is not part of the repository: `coco64/` with images and labels, and `vtest.avi`, a fixed camera's
video."""


class Det(TypedDict):
    """A detection in pycocotools' format."""

    image_id: int
    category_id: int
    bbox: list[float]
    """x, y of the upper left corner, width, height; pixels of the picture."""
    score: float
    """Confidence, 0-1."""


class Predictions(TypedDict):
    """The detections of one predictor in all pictures."""

    by: str
    """The predictor and its versions."""
    input_sizes: dict[str, str]
    """The size of the network's input by image id, "WIDTHxHEIGHT" in px."""
    dets: list[Det]


class Precision(TypedDict):
    """Mean average precision over the classes in the labels, 0-1."""

    map50_95: float
    map50: float


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A JPEG file and its labels."""

    image_id: int
    path: Path
    width: int
    height: int
    objects: tuple[tuple[int, tuple[float, float, float, float]], ...]
    """Class id and (x, y, width, height) of each object, px; x and y are the upper left corner."""


def read(data: Path) -> list[LabelledPicture]:
    """The pictures of a folder, by name. A picture without a label file has no objects.

    Raises ValueError for an invalid label, naming its file and line.
    """
    return [_read_one(path, data / "labels" / f"{path.stem}.txt") for path in sorted((data / "images").glob("*.jpg"))]


def _read_one(picture: Path, labels: Path) -> LabelledPicture:
    with Image.open(picture) as image:
        width, height = image.size
    objects = []
    for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines() if labels.exists() else [], 1):
        class_id, x, y, w, h = int(line.split()[0]), *map(float, line.split()[1:])
        if not (0 <= class_id < CLASSES and all(0 <= part <= 1 for part in (x, y, w, h))):
            raise ValueError(
                f"{labels}:{number}: expected a class from 0 to {CLASSES - 1} and four fractions, got {line!r}"
            )
        objects.append((class_id, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)))
    return LabelledPicture(int(picture.stem), picture, width, height, tuple(objects))


def ground_truth(pictures: list[LabelledPicture]) -> dict[str, Any]:
    """The labels as COCO's JSON. Annotation ids start at 1, because 0 means 'no match' to pycocotools."""
    objects = [(picture.image_id, *found) for picture in pictures for found in picture.objects]
    return {
        "images": [
            {"id": p.image_id, "file_name": p.path.name, "width": p.width, "height": p.height} for p in pictures
        ],
        "categories": [{"id": class_id, "name": str(class_id)} for class_id in range(CLASSES)],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": class_id,
                "bbox": list(box_px),
                "area": box_px[2] * box_px[3],
                "iscrowd": 0,
            }
            for number, (image_id, class_id, box_px) in enumerate(objects, 1)
        ],
    }


def precision(pictures: list[LabelledPicture], dets: list[Det]) -> Precision:
    """COCO's metric: IoU 0.50 to 0.95, the 100 detections with the highest confidence per class and picture."""
    if not dets:
        return {"map50_95": 0.0, "map50": 0.0}
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = ground_truth(pictures)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(dets), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {"map50_95": float(run.stats[0]), "map50": float(run.stats[1])}


def main(data: str, *files: str) -> None:
    pictures = read(Path(data))
    print(
        json.dumps(
            {file: precision(pictures, json.loads(Path(file).read_text(encoding="utf-8"))["dets"]) for file in files}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
