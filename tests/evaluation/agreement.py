"""Agreement of two predictors, box by box.

Boxes of the same picture and class are paired one to one, the highest IoU first. Boxes below a confidence are ignored
on both sides, so a box that one predictor rates just below it counts as a disagreement. `Unmatched` shows whether the
other predictor has such a box or none at all.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .coco import Det


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A box without a partner, and the other predictor's best overlapping box of that class at any confidence."""

    det: Det
    nearest_iou: float | None
    nearest_score: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The share of one predictor's `count` boxes that have a partner of the same class in the other's, 0-1."""

    count: int
    matched_90: float
    """With an IoU of at least 0.9."""
    matched_50: float
    median_score_difference: float | None
    """Absolute, over the pairs with an IoU of at least 0.5."""
    largest_score_difference: float | None
    unmatched: list[Unmatched]
    """Boxes without a partner with an IoU of at least 0.9."""


def agree(first: list[Det], second: list[Det], confidence: float) -> Agreement:
    """The share of the boxes in `first` that `second` contains too."""
    ours = [det for det in first if det["score"] >= confidence]
    theirs = [det for det in second if det["score"] >= confidence]
    pairs = _pairs(ours, theirs, 0.5)
    good = {mine for mine, _, overlap in pairs if overlap >= 0.9}
    differences = [abs(ours[mine]["score"] - theirs[other]["score"]) for mine, other, _ in pairs]
    return Agreement(
        count=len(ours),
        matched_90=len(good) / len(ours) if ours else 1.0,
        matched_50=len(pairs) / len(ours) if ours else 1.0,
        median_score_difference=statistics.median(differences) if differences else None,
        largest_score_difference=max(differences, default=None),
        unmatched=[_nearest(det, second) for number, det in enumerate(ours) if number not in good],
    )


def _pairs(ours: list[Det], theirs: list[Det], least: float) -> list[tuple[int, int, float]]:
    """Indices in `ours` and `theirs` and their IoU, each index at most once."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, det in enumerate(theirs):
        groups[det["image_id"], det["category_id"]].append(number)
    overlaps = [
        (iou(det["bbox"], theirs[other]["bbox"]), mine, other)
        for mine, det in enumerate(ours)
        for other in groups[det["image_id"], det["category_id"]]
    ]
    pairs: list[tuple[int, int, float]] = []
    taken_ours: set[int] = set()
    taken_theirs: set[int] = set()
    for overlap, mine, other in sorted(overlaps, reverse=True):
        if overlap >= least and mine not in taken_ours and other not in taken_theirs:
            taken_ours.add(mine)
            taken_theirs.add(other)
            pairs.append((mine, other, overlap))
    return pairs


def _nearest(det: Det, others: Iterable[Det]) -> Unmatched:
    same = [
        (iou(det["bbox"], other["bbox"]), other["score"])
        for other in others
        if (other["image_id"], other["category_id"]) == (det["image_id"], det["category_id"])
    ]
    overlap, score = max(same, default=(None, None))
    return Unmatched(det, overlap, score)


def iou(a: list[float], b: list[float]) -> float:
    """Intersection over union of two boxes (x, y, width, height), 0-1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a[2] * a[3] + b[2] * b[3] - both)
