"""What every head gives: one row an object, surest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.values import Size

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """What a head is to give, and what it must know of the network."""

    min_confidence: float
    iou: float
    """Two boxes of a class that overlap more are one object."""
    most: int
    input: Size
    classes: int
    class_ids: tuple[int, ...] | None = None
    """Only these; None: all."""
    oriented: bool = False
    """Boxes are x, y, width, height, and the last of what comes with them is their angle (radians)."""

    def wants(self, class_ids: Indices) -> NDArray[np.bool_]:
        """For each whether it is asked for."""
        if self.class_ids is None:
            return np.ones(len(class_ids), np.bool_)
        return np.isin(class_ids, self.class_ids)


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """Objects, surest first. `extra` (n, m): what comes with each, as its task reads it."""

    boxes_in: Floats
    """(n, 4): x1 y1 x2 y2 in the input's pixels; x y width height where boxes are oriented."""
    confidences: Floats
    class_ids: Indices
    extra: Floats

    def take(self, which: Indices | NDArray[np.bool_]) -> HeadOutput:
        """Only these."""
        return HeadOutput(self.boxes_in[which], self.confidences[which], self.class_ids[which], self.extra[which])


def best_class(scores: NDArray[np.floating[Any]], options: HeadOptions) -> tuple[Indices, Indices, Floats]:
    """Of confidences (classes, places) the places that are sure enough, and of each its best class and how sure."""
    (places,) = np.nonzero(scores.max(axis=0) > options.min_confidence)
    chosen = scores[:, places]
    class_ids = chosen.argmax(axis=0)
    return places, class_ids, np.take_along_axis(chosen, class_ids[None], axis=0)[0].astype(np.float32)


def surest_first(rows: HeadOutput, most: int) -> HeadOutput:
    """In order of confidence, equals as they came."""
    return rows.take(np.argsort(-rows.confidences, kind="stable")[:most])


def corners_of(x: Floats, y: Floats, width: Floats, height: Floats) -> Floats:
    """Boxes by centre and extent -> by two corners, (n, 4)."""
    return np.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), axis=1)
