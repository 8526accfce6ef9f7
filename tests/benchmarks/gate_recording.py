"""What the scene gate needs of a sequence, kept on disk: the thumbnail of each picture, and the network's answer to it.

The network takes minutes for all sequences, the gate seconds. So a second run, or one that goes on after an interrupted
one, starts with what is there. A recording is made again when the model, the sequences or the photographs have changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from appliance.flow.inference import Inference, Network
from appliance.values import Box, Detection, Frame, ResultFilter, Size
from appliance.vision import decode, thumbnail
from appliance.vision.thumbnail import Cells
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.evaluation.coco import DATA

LEAST = 0.25
"""Least confidence of a recorded detection: what cameras get by default."""
_LEVELS = 256
"""Steps of a thumbnail's level on disk."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One sequence. `cells`: the thumbnail of each picture; `answers`: full inference on it."""

    image_size: Size
    input_size: Size
    cells: list[Cells]
    answers: list[tuple[Detection, ...]]

    @property
    def scale(self) -> float:
        """From the picture to the network's input."""
        taken, given = self.input_size, self.image_size
        return max(taken.width, taken.height) / max(given.width, given.height)


def recorded(network: Network, sequence: Sequence, max_side: int, folder: Path) -> Recording:
    """The recording of a sequence: from disk, or made now and put there."""
    name = f"{sequence.group} {sequence.name} {sequence.quality} {max_side} {network.info} {_sources()}"
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _save(_record(network, sequence, max_side), path)
    return _load(path, network.info.classes)


def _record(network: Network, sequence: Sequence, max_side: int) -> Recording:
    full = Inference(network, clock=lambda: 0.0)
    sizes, cells, answers = [], [], []
    for number, pixels in enumerate(sequence.show()):
        picture = decode.read_header(decode.encode_jpeg(pixels, sequence.quality), pixels.size)
        thumb = thumbnail.mean_colours(picture)
        assert thumb is not None  # the sequences are JPEGs
        answer = full.run(Frame("bench", "bench", number, picture, ResultFilter(LEAST), 0.0), max_side).detected
        sizes.append((answer.image_size, answer.input_size))
        cells.append(thumb)
        answers.append(answer.detections)
    return Recording(*sizes[0], cells, answers)


def _save(made: Recording, path: Path) -> None:
    boxes = [
        (number, one.class_id, one.confidence, one.box_px.x1, one.box_px.y1, one.box_px.x2, one.box_px.y2)
        for number, answer in enumerate(made.answers)
        for one in answer
    ]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            sizes=[(one.width, one.height) for one in (made.image_size, made.input_size)],
            cells=np.rint(np.clip(np.stack(made.cells) * _LEVELS, 0, 65535)).astype(np.uint16),
            boxes=np.array(boxes, np.float64).reshape(-1, 7),
        )
    part.rename(path)


def _load(path: Path, classes: tuple[str, ...]) -> Recording:
    with np.load(path) as kept:
        image_size, input_size = (Size(int(width), int(height)) for width, height in kept["sizes"])
        cells = [np.asarray(one, np.float32) / np.float32(_LEVELS) for one in kept["cells"]]
        answers: list[list[Detection]] = [[] for _ in cells]
        for number, class_id, confidence, *corners in kept["boxes"]:
            box = Box(*(float(corner) for corner in corners))
            answers[int(number)].append(Detection(classes[int(class_id)], int(class_id), float(confidence), box))
    return Recording(image_size, input_size, cells, [tuple(one) for one in answers])


@cache
def _sources() -> str:
    """A digest of what draws the sequences, and of the photographs and the video."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "gate_pictures").glob("*.py")):
        digest.update(path.read_bytes())
    for path in sorted([*(DATA / "coco64/images").glob("*.jpg"), *DATA.glob("vtest.avi")]):
        digest.update(f"{path.name} {path.stat().st_size}".encode())
    return digest.hexdigest()
