"""The scene gate: repeat a camera's last answer while its scene has not changed.

Rules of this file:
- An answer is repeated for the same request, input size and network only, and for a limited time.
- The first answer is not repeated: a second one has to agree with it.
- An answer that lacks an object of the answers before it, although nothing changed in its place, is not repeated: the
  network lost it by chance, and the next inference decides.
- A small part of the frames that could be held is inferred anyway, and so is the one at the end of the limited time.
  Both are audits (`gate_audit.py`).
- Nothing here is changed in place: a frame's outcome is the next `LastScene`, which the caller keeps.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import numpy as np

from appliance.flow import gate_audit
from appliance.flow.gate_audit import GateEvidence
from appliance.flow.scene_change import Change, Usual, compare, follow, nothing_known
from appliance.values import Detected, Detection, ModelInfo, ResultFilter, Size
from appliance.vision import view
from appliance.vision.thumbnail import Cells

AUDITED = 0.01
"""Part of the frames that could be held and are inferred."""
_EXPECTED_AGAIN = 3
"""Inferences for which a lost object is expected again."""
_RELIABLE = 0.1
"""Confidence above the sender's minimum from which an object is expected again."""
_MOVES = 0.15
"""Confidence above the sender's minimum from which an object's place is not learned from."""
_STAYED = 0.8
"""IoU of an object that has not moved."""


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What must be equal for an answer to be repeated."""

    wanted: ResultFilter
    image_size: Size
    input_size: Size


@dataclass(frozen=True, slots=True)
class LastScene:
    """A camera's last inferred scene and its answer, and what is known about the camera."""

    cells: Cells
    request: GateRequest
    answer: Detected
    at_s: float
    model: ModelInfo
    """The network that answered, compared by identity: a swap may keep the name."""
    usual: Usual
    evidence: GateEvidence = field(default_factory=GateEvidence)
    expected: tuple[tuple[Detection, int], ...] = ()
    """Objects of earlier answers, and for how many more inferences they are expected."""
    settled: bool = True
    """Whether the answer has all that is expected."""


@dataclass(frozen=True, slots=True)
class GateLook:
    """A frame's cells, compared with the last scene. `holds`: the last answer is repeated."""

    cells: Cells
    change: Change
    holds: bool
    audit: bool
    """The last answer could be repeated, but is to be checked."""


class SceneGate:
    """Decides for frames of all cameras; keeps nothing of them.

    `refresh_s`: how long an answer may be repeated. `audited`: part of the frames to audit, 0-1.
    """

    def __init__(self, refresh_s: float, audited: float = AUDITED, seed: int | None = None) -> None:
        self._refresh_s, self._audited = refresh_s, audited
        self._random = random.Random(seed)

    def look(
        self, last: LastScene | None, cells: Cells, request: GateRequest, model: ModelInfo, now_s: float
    ) -> GateLook | None:
        """Compare a frame's cells with the last scene; None: masks cover everything."""
        shown = request.wanted.view
        covered = view.covered(shown, cells.shape[:2]) if shown.masks else None
        if covered is not None and covered.all():
            return None
        if last is None or last.request != request:
            return GateLook(cells, Change(float("inf")), holds=False, audit=False)
        change = compare(last.cells, cells, last.usual, covered)
        same = (
            last.model is model
            and last.settled
            and change.strongest < last.evidence.tolerance
            and now_s >= last.evidence.rests_until_s
        )
        due = now_s - last.at_s >= self._refresh_s
        audit = same and (due or self._random.random() < self._audited)
        return GateLook(cells, change, holds=same and not audit, audit=audit)

    def held(self, last: LastScene, look: GateLook) -> LastScene:
        """The scene after a frame that was answered with the last answer."""
        evidence = replace(last.evidence, held=last.evidence.held + 1)
        return replace(last, usual=follow(last.usual, look.change), evidence=evidence)

    def inferred(
        self,
        last: LastScene | None,
        look: GateLook,
        request: GateRequest,
        model: ModelInfo,
        answer: Detected,
        now_s: float,
    ) -> LastScene:
        """The scene after a frame that was inferred."""
        found, least = answer.detections, request.wanted.min_confidence
        reliable = tuple((one, _EXPECTED_AGAIN) for one in found if one.confidence >= least + _RELIABLE)
        if last is None:
            usual = nothing_known(look.cells)
            return LastScene(look.cells, request, answer, now_s, model, usual, expected=reliable, settled=False)
        evidence = last.evidence if last.model is model else replace(GateEvidence(), held=last.evidence.held)
        if look.audit:
            share = gate_audit.part_found(found, last.answer.detections, least)
            evidence = gate_audit.learn(evidence, share, look.change.strongest, now_s)
        usual = last.usual if last.usual.steps.shape == look.cells.shape else nothing_known(look.cells)
        moved = [one.box_px for one in _moved(last.answer.detections, found) if one.confidence >= least + _MOVES]
        expected = _expected(last, look.change, request, found) if last.model is model else ()
        kept = gate_audit.missing([one for one, _ in expected], found)
        return LastScene(
            look.cells,
            request,
            answer,
            now_s,
            model,
            follow(usual, look.change, moved, request.image_size),
            evidence,
            (*reliable, *((one, left) for one, left in expected if one in kept)),
            settled=not kept,
        )


def _moved(before: tuple[Detection, ...], now: tuple[Detection, ...]) -> list[Detection]:
    """The objects that are in one of two answers only, or in different places."""
    return gate_audit.missing(before, now, _STAYED) + gate_audit.missing(now, before, _STAYED)


def _expected(
    last: LastScene, change: Change, request: GateRequest, found: tuple[Detection, ...]
) -> list[tuple[Detection, int]]:
    """The objects that this answer should have: nothing has changed in their place."""
    if last.request != request or not np.isfinite(change.strongest):
        return []
    tolerance = last.evidence.tolerance
    return [
        (one, left - 1)
        for one, left in last.expected
        if left > 1 and not change.in_place(one.box_px, request.image_size, tolerance)
    ]
