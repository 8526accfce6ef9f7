"""The scene gate at its default settings, compared with full inference on every frame, with the real model.

Full inference is the reference. The repeated answers must contain each of its detections with a confidence of at least
SURE and an area above 24x24 px of the network's input, in the same place, and nothing else with that confidence.
The network itself loses and finds detections from one frame of a still scene to the next: the details say how many of
the same detections it had found in the frame before, with neither a gate nor more than one frame's change. The gate is
the product's own code with a simulated clock, on recordings of the network's answers (`gate_recording.py`).

Sequences: scenes drawn at random from odd seeds, with photographs, objects and weather that the gate was not developed
on (`gate_pictures/streets.py`); a video of a fixed camera, also with pauses; and short composed ones.
Photographs and video are not part of the project; without them, only the drawn street runs.
"""

from __future__ import annotations

import functools
import operator
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from appliance.flow.gate_audit import GateEvidence, bounds
from appliance.flow.inference import Inference, Network
from appliance.flow.scene_gate import GateRequest, LastScene, SceneGate
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import Box, Detected, Detection, Frame, ModelInfo, ResultFilter, Size, Timing
from appliance.vision import decode, scene
from tests.benchmarks.gate_pictures import stages, streets, video
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.benchmarks.gate_recording import LEAST, Recording, recorded
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT
from tests.evaluation.coco import DATA

SURE, FAINT = 0.5, 0.35
"""Confidence above which a missing detection counts."""
LEAST_AREA = 24 * 24
SAME_PLACE, SAME_OBJECT = 0.5, 0.3
"""IoU of a correct answer, and of the same object in consecutive frames."""
NEW_AFTER = 5
"""An object counts as new if full inference has not found it in this many previous frames."""
Answers: TypeAlias = list[tuple[Detection, ...]]
"""The detections of each frame."""
STILL, STREET = "still scenes", "streets with pauses"
SEEDS = range(13, 25, 2)
"""Scenes from seeds below 13 were used to develop the gate, or looked at."""


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


@dataclass(frozen=True, slots=True)
class Tally:
    """The results of one sequence, in frames and detections."""

    group: str
    name: str
    frames: int
    held: int
    gate: Kept
    before: Kept
    """The same for full inference of the frame before: what the network itself loses."""
    late: tuple[int, ...]
    """For each new object: the consecutive frames in which full inference found it and the gated answer did not."""
    evidence: GateEvidence

    def __str__(self) -> str:
        sure, late = self.gate.sure, max(self.late, default=0)
        held = f"{self.held} of {self.frames} held"
        return f"{self.name}: {held}, {sure.of - sure.found} of {sure.of} lost, {late} late"


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime"})
    network = load_network(settings)
    flow, tallies = settings.flow, []
    try:
        for sequence in _sequences():
            recording = recorded(network, sequence, flow.max_side, ROOT / "build/bench/gate")
            tallies.append(_watch(network.info, flow, sequence, recording))
            print(f"  {tallies[-1].group}, {tallies[-1]}", flush=True)
        costs = _costs(network, flow)
    finally:
        network.engine.close()
    return [*_rows(tallies), costs]


def _sequences() -> Iterator[Sequence]:
    photos, clip = DATA / "coco64/images", DATA / "vtest.avi"
    if photos.exists():
        for still, group, frames in ((True, STILL, 300), (False, STREET, 300)):
            for seed in SEEDS:
                drawn = streets.draw(seed, photos=photos, still=still, frames=frames)
                yield Sequence(group, drawn.name, streets.FPS, drawn.pictures(), drawn.quality)
    else:
        print(f"scene gate: photographs skipped; {photos} does not exist")
    if clip.exists():
        yield from video.sequences(clip)
    else:
        print(f"scene gate: video skipped; {clip} does not exist")
    yield from stages.sequences(photos)


def _rows(tallies: list[Tally]) -> Iterator[Row]:
    for group, least in ((STILL, 0.9), (STREET, 0.5), (video.PAUSES, 0.5)):
        ours = [tally for tally in tallies if tally.group == group]
        if ours:
            held, frames = sum(tally.held for tally in ours), sum(tally.frames for tally in ours)
            worst = min(ours, key=lambda tally: tally.held / tally.frames)
            yield Row(
                f"scene gate: part held, {group}", held / frames, least, False, f"{frames} frames; worst is {worst}"
            )
    for group in dict.fromkeys(tally.group for tally in tallies):
        ours = [tally for tally in tallies if tally.group == group and tally.held]
        if ours:
            yield from _kept(group, ours)
    yield _audited(tallies)
    latest = max(tallies, key=lambda tally: max(tally.late, default=0))
    count = sum(len(tally.late) for tally in tallies)
    longest = max(latest.late, default=0)
    yield Row("scene gate: new objects, frames late", longest, 5, True, f"{count} new objects; worst is {latest}")


def _kept(group: str, ours: list[Tally]) -> Iterator[Row]:
    gate, before = (
        functools.reduce(operator.add, kept) for kept in zip(*((t.gate, t.before) for t in ours), strict=True)
    )
    worst = min(ours, key=lambda tally: tally.gate.sure.part)
    detail = (
        f"{gate.sure.of} detections in held frames; frame before: {before.sure.part:.3f}; "
        f"down to {FAINT}: {gate.faint.part:.3f}, {before.faint.part:.3f}; worst is {worst}"
    )
    yield Row(f"scene gate: recall of held frames, {group}", gate.sure.part, 0.99, False, detail)
    detail = f"{gate.true.of} detections in held frames; frame before: {before.true.part:.3f}"
    yield Row(f"scene gate: precision of held frames, {group}", gate.true.part, 0.985, False, detail)


def _audited(tallies: list[Tally]) -> Row:
    audits, missed = (sum(getattr(tally.evidence, name) for tally in tallies) for name in ("audits", "missed"))
    found = sum(tally.evidence.found for tally in tallies) / max(1e-9, sum(tally.evidence.weight for tally in tallies))
    low, high = bounds(found, max(1, audits))
    detail = f"{audits} audits of all sequences, {missed} with a missing object; 95 %: {low:.3f} to {high:.3f}"
    return Row("scene gate: audited recall", found, 0.99, False, detail)


def _watch(model: ModelInfo, flow: FlowSettings, sequence: Sequence, recording: Recording) -> Tally:
    """Run the gate over one sequence."""
    gate = SceneGate(flow.refresh_s, flow.gate_audits, seed=1)
    last: LastScene | None = None
    request = GateRequest(ResultFilter(LEAST), recording.image_size, recording.input_size)
    truths = recording.answers
    answers: Answers = []
    held: list[int] = []
    for number, (cells, truth) in enumerate(zip(recording.cells, truths, strict=True)):
        now_s = number / sequence.fps
        look = gate.look(last, cells, request, model, now_s)
        assert look is not None
        if last is not None and look.holds:
            last = gate.held(last, look)
            held.append(number)
            answers.append(last.answer.detections)
        else:
            answer = Detected(truth, request.image_size, request.input_size, model.name, Timing(0, 0, 0, 0))
            last = gate.inferred(last, look, request, model, answer, now_s)
            answers.append(truth)
    assert last is not None
    scale = max(request.input_size.width, request.input_size.height) / max(
        request.image_size.width, request.image_size.height
    )
    gate_kept, before = (_of_held(held, truths, other, scale) for other in (answers, [(), *truths[:-1]]))
    late = _late(truths, _pairs(truths, answers, scale))
    return Tally(
        sequence.group, sequence.name, len(truths), len(held), gate_kept, before, tuple(late), last.evidence
    )  # fmt: skip


def _of_held(held: list[int], truths: Answers, answers: Answers, scale: float) -> Kept:
    def count(wanted: Answers, other: Answers, least: float) -> Count:
        pairs = [(one, other[number]) for number in held for one in _sure(wanted[number], least, scale)]
        return Count(len(pairs), sum(_has(there, one) for one, there in pairs))

    return Kept(count(truths, answers, SURE), count(truths, answers, FAINT), count(answers, truths, SURE))


def _pairs(truths: Answers, answers: Answers, scale: float) -> list[list[tuple[Detection, bool]]]:
    """For each frame: the sure detections of full inference, and whether the gated answer has them."""
    return [
        [(one, _has(answer, one)) for one in _sure(truth, SURE, scale)]
        for truth, answer in zip(truths, answers, strict=True)
    ]


def _has(answer: tuple[Detection, ...], wanted: Detection) -> bool:
    return any(_same(wanted, one, SAME_PLACE) for one in answer)


def _sure(answer: tuple[Detection, ...], least: float, scale: float) -> list[Detection]:
    """The detections that must not be lost. `scale`: from the picture to the network's input."""
    return [one for one in answer if one.confidence >= least and _area(one.box_px) * scale * scale > LEAST_AREA]


def _costs(network: Network, flow: FlowSettings) -> Row:
    """CPU time of a held frame, on its thread, and of an inferred one, on all threads."""
    now_s, pixels = 0.0, scene.draw(Size(1280, 720))[0]
    gated = Inference(network, clock=lambda: now_s, gate=SceneGate(flow.refresh_s, flow.gate_audits, seed=1))
    last, gate_ms, infer_ms = None, [], []
    picture = decode.read_header(decode.encode_jpeg(pixels, 80), pixels.size)
    for number in range(120):
        now_s += 0.2
        frame = Frame("bench", "bench", number, picture, ResultFilter(LEAST), now_s)
        started_s, started_here_s = time.process_time(), time.thread_time()
        answer = gated.run(frame, flow.max_side, last if number % 4 else None)
        spent_s, spent_here_s = time.process_time() - started_s, time.thread_time() - started_here_s
        last = answer.scene
        if answer.detected.cached:
            gate_ms.append(spent_here_s * 1000)
        elif number:
            infer_ms.append(spent_s * 1000)
    held_ms, inferred_ms = statistics.median(gate_ms), statistics.median(infer_ms)
    detail = f"{held_ms:.2f}/{inferred_ms:.1f} ms per frame"
    return Row("scene gate: CPU time / inference of a frame", held_ms / inferred_ms, 0.15, True, detail)


def _late(truths: Answers, pairs: list[list[tuple[Detection, bool]]]) -> Iterator[int]:
    """For each new object of full inference, the frames until the gated answer contains it."""
    for number in range(NEW_AFTER, len(pairs)):
        before = [one for truth in truths[number - NEW_AFTER : number] for one in truth]
        for one, has in pairs[number]:
            if any(_same(one, other, SAME_OBJECT) for other in before):
                continue
            late, last = 0, one
            for following in pairs[number + 1 :]:
                if has:
                    break
                late += 1
                again = [(other, found) for other, found in following if _same(last, other, SAME_OBJECT)]
                if not again:
                    break
                last, has = again[0]
            yield late


def _same(one: Detection, other: Detection, least_iou: float) -> bool:
    a, b = one.box_px, other.box_px
    both = _area(Box(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2)))
    return one.class_id == other.class_id and both >= least_iou * (_area(a) + _area(b) - both)


def _area(box: Box) -> float:
    return max(0.0, box.x2 - box.x1) * max(0.0, box.y2 - box.y1)
