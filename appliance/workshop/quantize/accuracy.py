"""The accuracy of a network, measured against labels. `vision/likeness.py` compares two networks without labels.

`mean_average_precision` is COCO's metric (Lin et al. 2014; pycocotools' `COCOeval`, its "all areas" row): the average
of the precision at 101 recalls over classes and IoUs. It is 0-1; a *point* is one hundredth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Detection
from appliance.vision.likeness import DetectionsByImage, corners_of, pairwise_iou

_IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100
"""Only this many detections of a class in a picture count, those with the highest confidence."""

LEAST_CONFIDENCE = 0.001
"""Average precision also counts detections with low confidence."""


@dataclass(frozen=True, slots=True)
class Label:
    """An object in a picture."""

    class_id: int
    box_px: Box


Truth = Sequence[Sequence[Label]]
"""The labels of each picture."""


def mean_average_precision(found: DetectionsByImage, truth: Truth) -> float:
    """mAP50-95 over the classes in `truth`, 0-1; 0 without labels."""
    counts: dict[int, int] = defaultdict(int)
    for labels in truth:
        for label in labels:
            counts[label.class_id] += 1
    return float(np.mean([_average_precision(found, truth, one, counts[one]) for one in counts])) if counts else 0.0


def _average_precision(found: DetectionsByImage, truth: Truth, class_id: int, objects: int) -> float:
    """The area under the precision-recall curve of one class, averaged over the IoUs."""
    confidences: list[float] = []
    hits: list[NDArray[np.bool_]] = [np.zeros((len(_IOUS), 0), np.bool_)]
    for detections, labels in zip(found, truth, strict=True):
        mine = sorted((one for one in detections if one.class_id == class_id), key=lambda one: -one.confidence)[:_MOST]
        expected = [label for label in labels if label.class_id == class_id]
        confidences += [one.confidence for one in mine]
        hits.append(_hits(_corners(mine), _corners(expected)))
    hit = np.concatenate(hits, axis=1)[:, np.argsort(-np.array(confidences), kind="stable")]
    right = hit.cumsum(axis=1)
    precision = right / np.arange(1, hit.shape[1] + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return float(np.mean([_area(recall, row) for recall, row in zip(right / objects, precision, strict=True)]))


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def _hits(mine: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each detection (highest confidence first) matches an object that is still unmatched, for each IoU."""
    hits = np.zeros((len(_IOUS), len(mine)), np.bool_)
    if not len(expected):
        return hits
    overlaps = pairwise_iou(mine, expected)
    for row, least in enumerate(_IOUS):
        free = overlaps.copy()
        for place in range(len(mine)):
            best = int(free[place].argmax())
            if free[place, best] >= least:
                hits[row, place] = True
                free[:, best] = -1
    return hits


def _corners(things: Sequence[Detection] | Sequence[Label]) -> NDArray[np.float64]:
    return corners_of([one.box_px for one in things])
