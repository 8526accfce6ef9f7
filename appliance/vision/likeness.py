"""Agreement between the detections of two networks, 0-1, without labels: the share of boxes that both have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Detection

MIN_CONFIDENCE = 0.25
"""Minimum confidence of a box that the other network has to have too."""
MATCH_CONFIDENCE = 0.15
"""Minimum confidence of a box that matches one: a box whose confidence drops from 0.26 to 0.24 is not lost."""

DetectionsByImage = Sequence[Sequence[Detection]]
"""The detections in each of several images."""


def likeness(ours: DetectionsByImage, theirs: DetectionsByImage) -> float:
    """Agreement of two networks, 0-1: the F1 score of the confident boxes of each that the other has too."""
    return _both_ways(ours, theirs, lambda mine, other, iou: 1.0)


def closeness(ours: DetectionsByImage, theirs: DetectionsByImage) -> float:
    """Like `likeness`, but weighs each pair by IoU minus difference in confidence, so that small losses show."""
    return _both_ways(ours, theirs, lambda mine, other, iou: max(0.0, iou - abs(mine.confidence - other.confidence)))


def _both_ways(
    ours: DetectionsByImage, theirs: DetectionsByImage, weight: Callable[[Detection, Detection, float], float]
) -> float:
    precision, recall = (_matched(*sides, weight) for sides in ((ours, theirs), (theirs, ours)))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _matched(
    reference: DetectionsByImage,
    tested: DetectionsByImage,
    weight: Callable[[Detection, Detection, float], float],
) -> float:
    """The weighted share of confident boxes in `reference` that have a match in `tested`; 1 if there are none."""
    count, total = 0, 0.0
    for mine, others in zip(reference, tested, strict=True):
        sure = [box for box in mine if box.confidence >= MIN_CONFIDENCE]
        candidates = [box for box in others if box.confidence >= MATCH_CONFIDENCE]
        count += len(sure)
        total += sum(weight(sure[one], candidates[other], iou) for one, other, iou in match(sure, candidates))
    return total / count if count else 1.0


def match(ours: Sequence[Detection], theirs: Sequence[Detection]) -> list[tuple[int, int, float]]:
    """Pairs of the same class with IoU >= 0.5, best first: index in `ours`, index in `theirs`, IoU."""
    if not ours or not theirs:
        return []
    overlaps = pairwise_iou(corners_of([one.box_px for one in ours]), corners_of([one.box_px for one in theirs]))
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


def pairwise_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each box in `first` (n, 4: x1 y1 x2 y2) with each in `second` (m, 4): (n, m)."""
    upper = np.maximum(first[:, None, :2], second[None, :, :2])
    lower = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(lower - upper, 0, None).prod(axis=2)
    one, other = ((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (first, second))
    union = one[:, None] + other[None, :] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0), np.float64)


def corners_of(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Convert boxes to an array, (n, 4): x1 y1 x2 y2."""
    return np.array([(one.x1, one.y1, one.x2, one.y2) for one in boxes], np.float64).reshape(-1, 4)
