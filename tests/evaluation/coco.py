"""Labelled pictures in, mean average precision out.

The folder is laid out as Ultralytics lays out COCO: `images/NAME.jpg` beside `labels/NAME.txt`, one object a line as
`class x_center y_center width height`, the last four as fractions of the picture. Class ids are 0-79 in COCO's usual
order, and stay so. YOLO labels have no crowd regions and no outlines, so figures are a little under those of the full
COCO annotations; both sides of a comparison are under by the same rule.

Run as `python -m tests.evaluation.coco DATA PREDICTIONS...`, it prints one JSON object, {file: Precision}. pycocotools
lives in the evaluation's own environment, so only `precision` imports it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

CLASSES = 80


class Det(TypedDict):
    """One detection, as pycocotools reads it."""

    image_id: int
    category_id: int
    bbox: list[float]
    """x, y of the upper left corner, width, height; pixels of the picture."""
    score: float
    """Confidence, 0-1."""


class Predictions(TypedDict):
    """What one predictor said about all the pictures."""

    by: str
    """Who said it, and with which versions."""
    input_sizes: dict[str, str]
    """Image id -> the network's input for that picture, "WIDTHxHEIGHT" in px."""
    dets: list[Det]


class Precision(TypedDict):
    """Mean average precision over the classes that occur, 0-1."""

    map50_95: float
    map50: float


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A JPEG file and what is in it."""

    image_id: int
    path: Path
    width: int
    height: int
    objects: tuple[tuple[int, tuple[float, float, float, float]], ...]
    """Class id and (x, y, width, height) of each object, px, the upper left corner first."""


def read(data: Path) -> list[LabelledPicture]:
    """The pictures of a folder, by name. A picture without a label file holds no object.

    Raises ValueError for a label that cannot be meant, naming its file and line.
    """
    return [_read_one(path, data / "labels" / f"{path.stem}.txt") for path in sorted((data / "images").glob("*.jpg"))]


def _read_one(picture: Path, labels: Path) -> LabelledPicture:
    with Image.open(picture) as image:
        width, height = image.size
    objects = []
    for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines() if labels.exists() else [], 1):
        class_id, x, y, w, h = int(line.split()[0]), *map(float, line.split()[1:])
        if not (0 <= class_id < CLASSES and all(0 <= part <= 1 for part in (x, y, w, h))):
            raise ValueError(f"{labels}:{number}: not a class of 0-{CLASSES - 1} and four fractions: {line!r}")
        objects.append((class_id, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)))
    return LabelledPicture(int(picture.stem), picture, width, height, tuple(objects))


def ground_truth(pictures: list[LabelledPicture]) -> dict[str, Any]:
    """The labels as COCO's JSON. Annotation ids begin at 1: pycocotools takes 0 for 'no match'."""
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
    """COCO's own measure: IoU .50 to .95, at most the 100 surest detections of a class in a picture."""
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
