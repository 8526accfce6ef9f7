"""What the answers of a gated camera keep of full inference: detections, and new objects in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from appliance.values import Box, Detection

SURE, FAINT = 0.5, 0.35
"""Confidence above which a missing detection counts."""
LEAST_AREA = 24 * 24
SAME_PLACE, SAME_OBJECT = 0.5, 0.3
"""IoU of a correct answer, and of the same object in consecutive frames."""
NEW_AFTER = 5
"""An object counts as new if full inference has not found it in this many previous frames."""
Answers: TypeAlias = list[tuple[Detection, ...]]
"""The detections of each frame."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many of some detections another answer has."""

    of: int
    found: int

    @property
    def part(self) -> float:
        return self.found / self.of if self.of else 1.0

    def __add__(self, other: Count) -> Count:
        return Count(self.of + other.of, self.found + other.found)


@dataclass(frozen=True, slots=True)
class Kept:
    """What one way to answer the held frames keeps of full inference.

    `sure`, `faint`: its detections from SURE and from FAINT on; `true`: the sure ones of these answers that it has.
    """

    sure: Count
    faint: Count
    true: Count

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.sure + other.sure, self.faint + other.faint, self.true + other.true)


def kept(numbers: Iterable[int], truths: Answers, answers: Answers, scale: float) -> Kept:
    """What these answers keep of full inference in the frames with these numbers."""
    counted = list(numbers)

    def count(wanted: Answers, other: Answers, least: float) -> Count:
        looked_for = [(one, other[number]) for number in counted for one in sure(wanted[number], least, scale)]
        return Count(len(looked_for), sum(has(there, one) for one, there in looked_for))

    return Kept(count(truths, answers, SURE), count(truths, answers, FAINT), count(answers, truths, SURE))


def has(answer: tuple[Detection, ...], wanted: Detection) -> bool:
    return any(_same(wanted, one, SAME_PLACE) for one in answer)


def sure(answer: tuple[Detection, ...], least: float, scale: float) -> list[Detection]:
    """The detections that must not be lost. `scale`: from the picture to the network's input."""
    return [one for one in answer if one.confidence >= least and _area(one.box_px) * scale * scale > LEAST_AREA]


def late(truths: Answers, answers: Answers, scale: float) -> Iterator[int]:
    """For each new object of full inference, the frames until the gated answer contains it."""
    pairs = [
        [(one, has(answer, one)) for one in sure(truth, SURE, scale)]
        for truth, answer in zip(truths, answers, strict=True)
    ]
    for number in range(NEW_AFTER, len(pairs)):
        before = [one for truth in truths[number - NEW_AFTER : number] for one in truth]
        for one, found in pairs[number]:
            if not any(_same(one, other, SAME_OBJECT) for other in before):
                yield _frames_until_found(one, found, pairs[number + 1 :])


def _frames_until_found(one: Detection, found: bool, following: list[list[tuple[Detection, bool]]]) -> int:
    passed = 0
    for pairs in following:
        if found:
            break
        passed += 1
        again = [(other, there) for other, there in pairs if _same(one, other, SAME_OBJECT)]
        if not again:
            break
        one, found = again[0]
    return passed


def _same(one: Detection, other: Detection, least_iou: float) -> bool:
    a, b = one.box_px, other.box_px
    both = _area(Box(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2)))
    return one.class_id == other.class_id and both >= least_iou * (_area(a) + _area(b) - both)


def _area(box: Box) -> float:
    return max(0.0, box.x2 - box.x1) * max(0.0, box.y2 - box.y1)
