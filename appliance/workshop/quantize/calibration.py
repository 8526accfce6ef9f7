"""Pictures to calibrate with and pictures to judge by: found in a folder, halved, decoded, with their labels.

Every second picture calibrates and the others are held out, so that neighbours in time (frames of one camera, sorted by
name) fall on both sides. Labels are YOLO's: one object a line, `class x_center y_center width height`, fractions of the
picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import files
from appliance.errors import BadFrame, ModelError
from appliance.ports import ReportLine
from appliance.values import Box, Picture, Size
from appliance.vision import decode, letterbox
from appliance.vision.letterbox import Letterbox
from appliance.workshop.quantize.accuracy import Label

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LEAST = 8
ENOUGH = 100
"""With fewer the ranges of the activations, and the judgement, are a matter of luck."""
_MOST_PIXELS = 100_000_000
_MOST_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture file, its header read."""

    path: Path
    picture: Picture


def find(folder: Path, most: int, report: ReportLine) -> list[Sample]:
    """At most `most` pictures of a folder, evenly taken by name; those that are none are named and left out.

    Raises ModelError calibration_pictures when there are fewer than LEAST.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    samples = []
    for path in found[:: -(-len(found) // max(most, LEAST)) or 1]:
        try:
            samples.append(Sample(path, decode.read_header(files.read_plain(path, _MOST_BYTES), _MOST_PIXELS)))
        except (BadFrame, OSError) as error:
            report(f"  left out: {path.name}: {error}")
    if len(samples) < LEAST:
        raise ModelError(
            f"{folder} has {len(samples)} pictures (JPEG, PNG or WebP), and at least {LEAST} are needed, better "
            f"{ENOUGH} to 300: save frames of the cameras that the box will serve, from day and night",
            "calibration_pictures",
        )
    if len(samples) < ENOUGH:
        report(
            f"  only {len(samples)} pictures: the measured accuracy is rough; give {ENOUGH} to 300 of your own cameras"
        )
    return samples


def halves(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """To calibrate with, and held out to judge by."""
    return list(samples[::2]), list(samples[1::2])


def save_inputs(samples: Sequence[Sample], place_of: Callable[[Sample], Letterbox], folder: Path) -> None:
    """Write each picture as NNCF's program reads it: one .npy file."""
    folder.mkdir()
    for number, sample in enumerate(samples):
        np.save(folder / f"{number:06}.npy", decode.load(sample.picture, place_of(sample)))


def decodable(samples: Sequence[Sample], report: ReportLine) -> list[Sample]:
    """Those whose pixels can be decoded; the others are named."""
    good = []
    for sample in samples:
        try:
            decode.load(sample.picture, letterbox.fit(sample.picture.size, Size(32, 32)))
            good.append(sample)
        except BadFrame as error:
            report(f"  left out: {sample.path.name}: {error}")
    return good


def labels_of(samples: Sequence[Sample], folder: Path, classes: int) -> list[list[Label]]:
    """What is in each picture, by the label files in a folder; a picture without a file shows nothing.

    Raises ModelError calibration_labels for a line that cannot be meant, naming it.
    """
    return [_labels(folder / f"{sample.path.stem}.txt", sample.picture.size, classes) for sample in samples]


def labels_folder(pictures: Path, given: Path | None) -> Path | None:
    """The folder of labels: the one given, or `labels` beside the pictures. Raises ModelError when given in vain."""
    if given is not None and not given.is_dir():
        raise ModelError(f"--labels {given} is not a folder", "calibration_labels")
    beside = pictures.resolve().parent / "labels"
    folder = given or (beside if beside.is_dir() and beside != pictures.resolve() else None)
    if folder is not None and not any(folder.glob("*.txt")):
        if given is not None:
            raise ModelError(f"--labels {given} has no .txt files", "calibration_labels")
        return None
    return folder


def _labels(path: Path, size: Size, classes: int) -> list[Label]:
    if not path.exists():
        return []
    return [
        _label(line, f"{path}:{number}", size, classes)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip()
    ]


def _label(line: str, where: str, size: Size, classes: int) -> Label:
    words = line.split()
    try:
        class_id = int(words[0])
        x, y, width, height = (float(word) for word in words[1:])
    except ValueError:
        raise ModelError(f"{where}: not a class and four fractions: {line!r}", "calibration_labels") from None
    if not 0 <= class_id < classes or not all(0 <= part <= 1 for part in (x, y, width, height)):
        raise ModelError(
            f"{where}: not a class of 0-{classes - 1} and four fractions of 0-1: {line!r}", "calibration_labels"
        )
    left, top = (x - width / 2) * size.width, (y - height / 2) * size.height
    return Label(class_id, Box(left, top, left + width * size.width, top + height * size.height))
