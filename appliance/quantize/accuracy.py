"""How well a network sees: against labels, or against another network's boxes.

`mean_average_precision` is COCO's measure (Lin et al. 2014; pycocotools' `COCOeval`, its "all areas" row): per class
and IoU, precision at 101 recalls, averaged. `likeness` needs no labels. Both are 0-1; a *point* is a hundredth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Detection

_IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100
"""The surest detections of one class in one picture that count."""

LEAST_CONFIDENCE = 0.001
"""Average precision looks at the unsure boxes too."""
SURE = 0.25
"""From this confidence on `likeness` asks for a box."""
SEEN = 0.15
"""From this confidence on a box answers: one that goes from 0.26 to 0.24 has not been lost."""


@dataclass(frozen=True, slots=True)
class Label:
    """An object that is in a picture."""

    class_id: int
    box_px: Box


Found = Sequence[Sequence[Detection]]
"""For each picture, its detections."""
Truth = Sequence[Sequence[Label]]
"""For each picture, what is in it."""


def mean_average_precision(found: Found, truth: Truth) -> float:
    """mAP50-95 over the classes that occur in `truth`, 0-1; 0 where nothing is labelled."""
    counts: dict[int, int] = defaultdict(int)
    for labels in truth:
        for label in labels:
            counts[label.class_id] += 1
    return float(np.mean([_average_precision(found, truth, one, counts[one]) for one in counts])) if counts else 0.0


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
    overlaps = overlap(_corners(ours), _corners(theirs))
    same = np.array([[a.class_id == b.class_id for b in theirs] for a in ours])
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


def _average_precision(found: Found, truth: Truth, class_id: int, objects: int) -> float:
    """Mean over the IoUs of the area under one class's precision-recall curve."""
    confidences: list[float] = []
    hits: list[NDArray[np.bool_]] = [np.zeros((len(_IOUS), 0), np.bool_)]
    for detections, labels in zip(found, truth, strict=True):
        mine = sorted((one for one in detections if one.class_id == class_id), key=lambda one: -one.confidence)[:_MOST]
        wanted = [label for label in labels if label.class_id == class_id]
        confidences += [one.confidence for one in mine]
        hits.append(_hits(_corners(mine), _corners(wanted)))
    hit = np.concatenate(hits, axis=1)[:, np.argsort(-np.array(confidences), kind="stable")]
    right = hit.cumsum(axis=1)
    precision = right / np.arange(1, hit.shape[1] + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return float(np.mean([_area(recall, row) for recall, row in zip(right / objects, precision, strict=True)]))


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def _hits(mine: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each IoU and detection (surest first) whether it takes an object that none before it took."""
    hits = np.zeros((len(_IOUS), len(mine)), np.bool_)
    if not len(wanted):
        return hits
    overlaps = overlap(mine, wanted)
    for row, least in enumerate(_IOUS):
        free = overlaps.copy()
        for place in range(len(mine)):
            best = int(free[place].argmax())
            if free[place, best] >= least:
                hits[row, place] = True
                free[:, best] = -1
    return hits


def _corners(things: Sequence[Detection] | Sequence[Label]) -> NDArray[np.float64]:
    boxes = [(one.box_px.x1, one.box_px.y1, one.box_px.x2, one.box_px.y2) for one in things]
    return np.array(boxes, np.float64).reshape(-1, 4)
