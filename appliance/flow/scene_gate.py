"""The scene gate: repeat a camera's last answer while its scene has not changed.

Rules of this file:
- An answer is repeated for the same request, input size and network only, and for a limited time.
- What is repeated is what several inferences of the unchanged scene have found (`gate_memory.py`). The first answer is
  not repeated: a second one has to agree with it.
- The limited time is short after a change and doubles with each inference that agrees. It is short again after one that
  lacks an object of which earlier ones were sure, so that it is not repeated for several such times if it has left.
- A small part of the frames that could be held is inferred anyway, and so is the one at the end of the limited time.
  Both are audits (`gate_audit.py`).
- Nothing here is changed in place: a frame's outcome is the next `LastScene`, which the caller keeps.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import numpy as np

from appliance.flow import gate_audit, gate_memory
from appliance.flow.gate_audit import GateEvidence
from appliance.flow.gate_memory import Remembered
from appliance.flow.scene_change import Change, Usual, compare, follow, nothing_known
from appliance.values import Detected, Detection, ModelInfo, ResultFilter, Size
from appliance.vision import view
from appliance.vision.thumbnail import Cells

AUDITED = 0.01
"""Part of the frames that could be held and are inferred."""
_FIRST_CHECK_S = 2.0
"""Time for which an answer may be repeated after a change, before any other one has agreed with it."""
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
    """The answer to repeat: the last one, with the detections that are remembered."""
    at_s: float
    model: ModelInfo
    """The network that answered, compared by identity: a swap may keep the name."""
    usual: Usual
    evidence: GateEvidence = field(default_factory=GateEvidence)
    memory: tuple[Remembered, ...] = ()
    settled: bool = True
    """Whether it is certain what the scene shows."""
    agreed: int = 0
    """Inferences of the unchanged scene that agreed."""

    def repeated(self, now_s: float) -> tuple[Detection, ...]:
        """The detections to repeat, each with the time since it was found."""
        return tuple(one.older(now_s - self.at_s) for one in self.answer.detections)


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
        due = now_s - last.at_s >= min(self._refresh_s, _FIRST_CHECK_S * 2.0 ** min(last.agreed, 16))
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
        least = request.wanted.min_confidence
        if last is None:
            memory = gate_memory.look((), answer.detections, lambda _: True)
            return LastScene(
                look.cells, request, answer, now_s, model, nothing_known(look.cells), memory=memory, settled=False
            )
        same_scene = last.model is model and last.request == request and np.isfinite(look.change.strongest)
        tolerance = last.evidence.tolerance
        memory = gate_memory.look(
            last.memory if same_scene else (),
            answer.detections,
            lambda box: look.change.in_place(box, request.image_size, tolerance),
            now_s - last.at_s,
        )
        there, settled = gate_memory.conclude(memory, least)
        evidence = last.evidence if last.model is model else replace(GateEvidence(), held=last.evidence.held)
        if look.audit:
            share = gate_audit.part_found(answer.detections, last.answer.detections, least)
            evidence = gate_audit.learn(evidence, share, look.change.strongest, now_s)
        usual = last.usual if last.usual.steps.shape == look.cells.shape else nothing_known(look.cells)
        moved = [one.box_px for one in _moved(last.answer.detections, there) if one.confidence >= least + _MOVES]
        unchanged = same_scene and look.change.strongest < tolerance
        if same_scene and not unchanged and not moved and last.settled:
            evidence = gate_audit.false_alarm(evidence, look.change.strongest)
        return LastScene(
            look.cells,
            request,
            replace(answer, detections=there),
            now_s,
            model,
            follow(usual, look.change, moved, request.image_size, alarm=None if unchanged else tolerance),
            evidence,
            memory,
            settled,
            last.agreed + settled if unchanged and not gate_memory.lacks_sure_object(memory, least) else 0,
        )


def _moved(before: tuple[Detection, ...], now: tuple[Detection, ...]) -> list[Detection]:
    """The objects that are in one of two answers only, or in different places."""
    return gate_audit.missing(before, now, _STAYED) + gate_audit.missing(now, before, _STAYED)
