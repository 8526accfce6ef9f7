"""The output of every head: one row for each object, by descending confidence.

A network whose number format is too small for it returns NaN or infinity. That is an error of the engine: it must not
become "no objects", nor a box that no client can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import EngineError
from appliance.values import Size

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """What a head has to return, and what it needs to know about the network."""

    min_confidence: float
    iou: float
    """Boxes of one class that overlap more than this are the same object."""
    max_detections: int
    input: Size
    classes: int
    class_ids: tuple[int, ...] | None = None
    """Classes to return; None: all."""
    oriented: bool = False
    """Boxes are x, y, width, height, and the last value of `extra` is the angle in radians."""

    def accepts(self, class_ids: Indices) -> NDArray[np.bool_]:
        """Whether each class is to be returned."""
        if self.class_ids is None:
            return np.ones(len(class_ids), np.bool_)
        return np.isin(class_ids, self.class_ids)


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """Objects by descending confidence. `extra` (n, m): values that belong to each, read by the task."""

    boxes_in: Floats
    """(n, 4): x1 y1 x2 y2 in input pixels; x y width height for oriented boxes."""
    confidences: Floats
    class_ids: Indices
    extra: Floats

    def take(self, which: Indices | NDArray[np.bool_]) -> HeadOutput:
        """Select rows."""
        return HeadOutput(self.boxes_in[which], self.confidences[which], self.class_ids[which], self.extra[which])


def check_numbers(values: NDArray[np.floating[Any]]) -> None:
    """Raise EngineError if there is a NaN among the confidences of all places."""
    if np.isnan(values).any():
        raise _no_numbers()


def check_finite(values: NDArray[np.floating[Any]]) -> None:
    """Raise EngineError if there is NaN or infinity among the values of objects."""
    if not np.isfinite(values).all():
        raise _no_numbers()


def checked(rows: HeadOutput) -> HeadOutput:
    """The same rows. Raises EngineError if one of them contains NaN or infinity."""
    for values in (rows.boxes_in, rows.confidences, rows.extra):
        check_finite(values)
    return rows


def _no_numbers() -> EngineError:
    return EngineError(
        "the model's output contains NaN or infinity. Set engine.precision to f32, or activate another model"
    )


def best_class(scores: NDArray[np.floating[Any]], options: HeadOptions) -> tuple[Indices, Indices, Floats]:
    """Places with sufficient confidence in `scores` (classes, places), and the best class and confidence of each.

    Raises EngineError if there is a NaN.
    """
    best = scores.max(axis=0)
    check_numbers(best)
    (places,) = np.nonzero(best > options.min_confidence)
    chosen = scores[:, places]
    class_ids = chosen.argmax(axis=0)
    return places, class_ids, np.take_along_axis(chosen, class_ids[None], axis=0)[0].astype(np.float32)


def surest_first(rows: HeadOutput, most: int) -> HeadOutput:
    """Sort by descending confidence; equal ones keep their order."""
    return rows.take(np.argsort(-rows.confidences, kind="stable")[:most])


def corners_of(x: Floats, y: Floats, width: Floats, height: Floats) -> Floats:
    """Convert boxes from centre and size to two corners, (n, 4)."""
    return np.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), axis=1)
