"""Pictures and labels for calibration and evaluation.

Every second picture is used for calibration, the others for evaluation, so that consecutive frames of a camera (sorted
by name) are in both halves. Labels have YOLO's format: one object per line, `class x_center y_center width height`, as
fractions of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import files
from appliance.errors import BadFrame, ModelError
from appliance.health.words import counted
from appliance.ports import ReportLine
from appliance.values import Box, Picture, Size
from appliance.vision import decode, letterbox, picture_files
from appliance.vision.letterbox import Letterbox
from appliance.workshop.quantize.accuracy import Label

LEAST = 8
ENOUGH = 100
"""With fewer pictures, the activation ranges and the measured accuracy depend on chance."""
_MOST_PIXELS = 100_000_000
_MOST_BYTES = 100_000_000
_MOST_LABEL_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """A picture file and its parsed header."""

    path: Path
    picture: Picture


def find(folder: Path, most: int, report: ReportLine) -> list[CalibrationSample]:
    """Select at most `most` pictures of a folder, evenly by name; report and skip unreadable files.

    Raises ModelError calibration_pictures if there are fewer than LEAST.
    """
    found = picture_files.find(folder)
    samples = []
    for path in found[:: -(-len(found) // max(most, LEAST)) or 1]:
        try:
            samples.append(
                CalibrationSample(path, decode.read_header(files.read_plain(path, _MOST_BYTES), _MOST_PIXELS))
            )
        except (BadFrame, OSError) as error:
            report(f"  skipped {path.name}: {error}")
    usable = counted(len(samples), "picture", "pictures")
    if len(samples) < LEAST:
        raise ModelError(
            f"{folder} contains {usable} (JPEG, PNG or WebP), but at least {LEAST} are required and "
            f"{ENOUGH} to 300 recommended. Save frames of the device's own cameras, by day and by night",
            "calibration_pictures",
        )
    if len(samples) < ENOUGH:
        report(f"  only {usable}: accuracy is approximate; use {ENOUGH} to 300 from your own cameras")
    return samples


def halves(samples: Sequence[CalibrationSample]) -> tuple[list[CalibrationSample], list[CalibrationSample]]:
    """The samples for calibration, and those for evaluation."""
    return list(samples[::2]), list(samples[1::2])


def save_inputs(
    samples: Sequence[CalibrationSample], place_of: Callable[[CalibrationSample], Letterbox], folder: Path
) -> None:
    """Write each picture as an .npy file for the NNCF program."""
    folder.mkdir()
    for number, sample in enumerate(samples):
        np.save(folder / f"{number:06}.npy", decode.load(sample.picture, place_of(sample)))


def decodable(samples: Sequence[CalibrationSample], report: ReportLine) -> list[CalibrationSample]:
    """The samples that can be decoded; the others are reported."""
    good = []
    for sample in samples:
        try:
            decode.load(sample.picture, letterbox.fit(sample.picture.size, Size(32, 32)))
            good.append(sample)
        except BadFrame as error:
            report(f"  skipped {sample.path.name}: {error}")
    return good


def labels_of(samples: Sequence[CalibrationSample], folder: Path, classes: int) -> list[list[Label]]:
    """The labels of each picture, from the files in a folder; a picture without a file has no objects.

    Raises ModelError calibration_labels, naming the invalid line.
    """
    return [_labels(folder / f"{sample.path.stem}.txt", sample.picture.size, classes) for sample in samples]


def labels_folder(pictures: Path, given: Path | None) -> Path | None:
    """The given folder of labels, or `labels` next to the pictures. Raises ModelError if the given one has none."""
    if given is not None and not given.is_dir():
        raise ModelError(f"--labels {given} is not a folder", "calibration_labels")
    usual = pictures.resolve().parent / "labels"
    folder = given or (usual if usual.is_dir() and usual != pictures.resolve() else None)
    if folder is not None and not any(folder.glob("*.txt")):
        if given is not None:
            raise ModelError(f"--labels {given} contains no .txt files", "calibration_labels")
        return None
    return folder


def _labels(path: Path, size: Size, classes: int) -> list[Label]:
    try:
        lines = files.read_plain(path, _MOST_LABEL_BYTES).decode("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise ModelError(f"{path} cannot be read: {why}", "calibration_labels") from None
    return [_label(line, f"{path}:{number}", size, classes) for number, line in enumerate(lines, 1) if line.strip()]


def _label(line: str, where: str, size: Size, classes: int) -> Label:
    words = line.split()
    try:
        class_id = int(words[0])
        x, y, width, height = (float(word) for word in words[1:])
    except ValueError:
        raise ModelError(
            f"{where}: expected a class number and four fractions, got {line[:100]!r}", "calibration_labels"
        ) from None
    if not 0 <= class_id < classes or not all(0 <= part <= 1 for part in (x, y, width, height)):
        raise ModelError(
            f"{where}: expected a class from 0 to {classes - 1} and four fractions from 0 to 1, got {line[:100]!r}",
            "calibration_labels",
        )
    left, top = (x - width / 2) * size.width, (y - height / 2) * size.height
    return Label(class_id, Box(left, top, left + width * size.width, top + height * size.height))
