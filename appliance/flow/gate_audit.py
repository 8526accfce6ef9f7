"""Learn how far the scene gate may go for one camera, from frames that it could have held and that were inferred.

Rules of this file:
- An audit compares the answer that would have been repeated with the one that inference gives: which part of the sure
  objects was in it, 0-1; 1 if there are none.
- A miss tightens the gate at once, so that the same change would have been noticed if it can be. Each audit without a
  miss loosens it a little, up to a limit. At one miss in a hundred audits the two balance.
- A false alarm, an inference because of a small change that found nothing new, shows that a looser gate would have been
  right. It loosens more: eleven of them weigh as much as one miss.
- If even the tightest gate provably misses too much, the camera's gate rests, and tries again later.
- Old audits fade, so that a camera that was moved is not judged by its former place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Detection, GateStats

GOAL = 0.99
"""Recall that the gate must keep."""
TIGHTEST, LOOSEST = 0.6, 1.6
"""Bounds of the tolerance; 1: what was measured on many sequences. At 0.6 a camera's own noise still passes."""
_LOOSEN, _TIGHTEN = 1.002, 0.8
_LOOSEN_AFTER_ALARM = 1.02
_REST_S = 600.0
_REMEMBERED = 2000
"""Audits after which an old one has faded to a third."""
SURE = 0.25
"""Confidence above the sender's minimum from which a missing object counts: below, the network itself loses and finds
objects from one frame of a still scene to the next."""
_SAME_PLACE = 0.5
"""IoU."""
_Z = 1.96
"""For bounds that hold with 95 %."""


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What the audits of one camera have shown. `weight`, `found`: audits and their shares, old ones faded."""

    tolerance: float = 1.0
    held: int = 0
    audits: int = 0
    missed: int = 0
    """Audits in which an object was missing."""
    weight: float = 0.0
    found: float = 0.0
    rests_until_s: float = float("-inf")

    @property
    def recall(self) -> float | None:
        """Measured recall of the repeated answers, 0-1; None: no audit yet."""
        return self.found / self.weight if self.weight else None

    def stats(self, now_s: float) -> GateStats:
        recall = self.recall
        return GateStats(
            held=self.held,
            audits=self.audits,
            missed=self.missed,
            recall=recall,
            recall_at_least=None if recall is None else bounds(recall, self.weight)[0],
            tolerance=self.tolerance,
            rests=now_s < self.rests_until_s,
        )


def learn(evidence: GateEvidence, found: float, strongest: float, now_s: float) -> GateEvidence:
    """Take the result of an audit. `found`: 0-1; `strongest`: the change of the scene that the gate had measured."""
    fade = 1 - 1 / _REMEMBERED
    weight, total = evidence.weight * fade + 1, evidence.found * fade + found
    if found >= 1:
        tolerance, rests_until_s = min(LOOSEST, evidence.tolerance * _LOOSEN), evidence.rests_until_s
    else:
        useful = strongest * 0.95 if strongest * 0.95 >= TIGHTEST else LOOSEST  # no gate notices a smaller change
        tolerance = max(TIGHTEST, min(evidence.tolerance * _TIGHTEN, useful))
        hopeless = evidence.tolerance <= TIGHTEST and bounds(total / weight, weight)[1] < GOAL
        rests_until_s = now_s + _REST_S if hopeless else evidence.rests_until_s
    return replace(
        evidence,
        tolerance=tolerance,
        audits=evidence.audits + 1,
        missed=evidence.missed + (found < 1),
        weight=weight,
        found=total,
        rests_until_s=rests_until_s,
    )


def false_alarm(evidence: GateEvidence, strongest: float) -> GateEvidence:
    """Take the result of an inference because of a change of the scene, if it found nothing new."""
    if strongest >= LOOSEST:  # no gate would have held it
        return evidence
    return replace(evidence, tolerance=min(LOOSEST, evidence.tolerance * _LOOSEN_AFTER_ALARM))


def bounds(part: float, count: float) -> tuple[float, float]:
    """Wilson's bounds of a proportion, 95 %."""
    spread = _Z * math.sqrt(part * (1 - part) / count + _Z * _Z / (4 * count * count))
    middle, scale = part + _Z * _Z / (2 * count), 1 + _Z * _Z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def part_found(truth: Sequence[Detection], answer: Sequence[Detection], min_confidence: float) -> float:
    """The part of the sure objects of one answer that another one has too; 1 if there are none."""
    wanted = [one for one in truth if one.confidence >= min_confidence + SURE]
    return 1.0 if not wanted else 1 - len(missing(wanted, answer)) / len(wanted)


def missing(wanted: Sequence[Detection], answer: Sequence[Detection], least: float = _SAME_PLACE) -> list[Detection]:
    """The objects that an answer does not have in the same place."""
    there: list[bool] = np.any(same_objects(wanted, answer, least), axis=1).tolist()
    return [one for one, found in zip(wanted, there, strict=True) if not found]


def same_objects(
    these: Sequence[Detection], those: Sequence[Detection], least: float = _SAME_PLACE
) -> NDArray[np.bool_]:
    """Which of these and those have one class and the same place, (these, those)."""
    a, b = _corners(these)[:, None], _corners(those)[None]
    both = np.maximum(np.minimum(a[..., 2:4], b[..., 2:4]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(axis=2)
    areas = [(one[..., 2] - one[..., 0]) * (one[..., 3] - one[..., 1]) for one in (a, b)]
    either = areas[0] + areas[1] - both
    return np.asarray((a[..., 4] == b[..., 4]) & (either > 0) & (both >= least * either), np.bool_)


def _corners(detections: Sequence[Detection]) -> NDArray[np.float64]:
    rows = [(one.box_px.x1, one.box_px.y1, one.box_px.x2, one.box_px.y2, one.class_id) for one in detections]
    return np.array(rows, np.float64).reshape(-1, 5)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    both = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    either = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both
    return both / either if either > 0 else 0.0
