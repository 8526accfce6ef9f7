"""How far two networks see the same, without labels: by the boxes of each that the other has too, 0-1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Detection

SURE = 0.25
"""From this confidence on `likeness` asks for a box."""
SEEN = 0.15
"""From this confidence on a box answers: one that goes from 0.26 to 0.24 has not been lost."""

Found = Sequence[Sequence[Detection]]
"""For each picture, its detections."""


def likeness(ours: Found, theirs: Found) -> float:
    """How far two networks see the same, 0-1: the F1 of the sure boxes of each that the other has too."""
    return _both_ways(ours, theirs, lambda one, other, iou: 1.0)


def closeness(ours: Found, theirs: Found) -> float:
    """As `likeness`, but a pair counts for its IoU less the difference of its confidences: small losses show."""
    return _both_ways(ours, theirs, lambda one, other, iou: max(0.0, iou - abs(one.confidence - other.confidence)))


def _both_ways(ours: Found, theirs: Found, worth: Callable[[Detection, Detection, float], float]) -> float:
    there, back = (_kept(*sides, worth) for sides in ((ours, theirs), (theirs, ours)))
    return 2 * there * back / (there + back) if there + back else 0.0


def _kept(asked: Found, answering: Found, worth: Callable[[Detection, Detection, float], float]) -> float:
    """The part of the sure boxes that the other side has, each for what it is worth; 1 where there is none."""
    count, total = 0, 0.0
    for mine, others in zip(asked, answering, strict=True):
        sure = [one for one in mine if one.confidence >= SURE]
        seen = [one for one in others if one.confidence >= SEEN]
        count += len(sure)
        total += sum(worth(sure[one], seen[other], iou) for one, other, iou in partners(sure, seen))
    return total / count if count else 1.0


def partners(ours: Sequence[Detection], theirs: Sequence[Detection]) -> list[tuple[int, int, float]]:
    """Pairs of one class with IoU >= 0.5, the best first: places in `ours` and `theirs`, and the IoU."""
    if not ours or not theirs:
        return []
    overlaps = overlap(corners_of([one.box_px for one in ours]), corners_of([one.box_px for one in theirs]))
    same = np.array([[a.name == b.name for b in theirs] for a in ours])
    candidates = np.argwhere(same & (overlaps >= 0.5))
    order = np.argsort(-overlaps[candidates[:, 0], candidates[:, 1]], kind="stable")
    pairs: list[tuple[int, int, float]] = []
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    for one, other in candidates[order].tolist():
        if one not in taken_a and other not in taken_b:
            taken_a.add(one)
            taken_b.add(other)
            pairs.append((one, other, float(overlaps[one, other])))
    return pairs


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each box (n, 4: x1 y1 x2 y2) with each of (m, 4): (n, m)."""
    upper = np.maximum(first[:, None, :2], second[None, :, :2])
    lower = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(lower - upper, 0, None).prod(axis=2)
    one, other = ((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (first, second))
    union = one[:, None] + other[None, :] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0), np.float64)


def corners_of(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Boxes as an array, (n, 4): x1 y1 x2 y2."""
    return np.array([(one.x1, one.y1, one.x2, one.y2) for one in boxes], np.float64).reshape(-1, 4)
