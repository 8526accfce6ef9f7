"""The scene gate at its default settings, compared with full inference on every frame, with the real model.

Full inference is the reference. The repeated answers must contain each of its detections with a confidence of at least
SURE and an area above 24x24 px of the network's input, in the same place. Fainter ones come and go from one frame of a
still scene to the next, with and without a gate; the details say how many. Both use the product's own code with a
simulated clock. A frame that the gate does not hold is inferred anyway, so its answer is also the reference.

Sequences: scenes drawn at random from odd seeds, with photographs, objects and weather that the gate was not developed
on (`gate_pictures/streets.py`); a video of a fixed camera, also with pauses; and short composed ones.
Photographs and video are not part of the project; without them, only the drawn street runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.flow.gate_audit import GateEvidence, bounds
from appliance.flow.inference import Inference, Network
from appliance.flow.scene_gate import SceneGate
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import Box, Detected, Detection, Frame, ResultFilter
from appliance.vision import decode
from tests.benchmarks.gate_pictures import stages, streets, video
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.benchmarks.report import Row
from tests.evaluation.coco import DATA

SURE, FAINT = 0.5, 0.35
"""Confidence above which a missing detection counts. Cameras get detections from 0.25."""
LEAST_AREA = 24 * 24
SAME_PLACE, SAME_OBJECT = 0.5, 0.3
"""IoU of a correct answer, and of the same object in consecutive frames."""
NEW_AFTER = 5
"""An object counts as new if full inference has not found it in this many previous frames."""
STILL, STREET = "still scenes", "streets with pauses"
SEEDS = range(1, 13, 2)


@dataclass(frozen=True, slots=True)
class Tally:
    """The results of one sequence, in frames and detections."""

    group: str
    name: str
    frames: int
    held: int
    wanted: int
    kept: int
    """Of the held frames: the sure detections of full inference, and those that the repeated answers have."""
    faint_wanted: int
    faint_kept: int
    """The same down to FAINT."""
    late: tuple[int, ...]
    """For each new object: the consecutive frames in which full inference found it and the gated answer did not."""
    evidence: GateEvidence
    gate_ms: tuple[float, ...]
    infer_ms: tuple[float, ...]
    """CPU time of an inferred frame, on all threads; `gate_ms`: of a held frame, on its thread."""

    def __str__(self) -> str:
        lost, late = self.wanted - self.kept, max(self.late, default=0)
        held = f"{self.held} of {self.frames} held"
        return f"{self.name}: {held}, {lost} of {self.wanted} lost, {late} late"


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime"})
    network = load_network(settings)
    tallies = []
    try:
        for sequence in _sequences():
            tallies.append(_watch(network, settings.flow, sequence))
            print(f"  {tallies[-1].group}, {tallies[-1]}", flush=True)
    finally:
        network.engine.close()
    return list(_rows(tallies))


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
            yield _recall(group, ours)
    yield _audited(tallies)
    latest = max(tallies, key=lambda tally: max(tally.late, default=0))
    count = sum(len(tally.late) for tally in tallies)
    longest = max(latest.late, default=0)
    yield Row("scene gate: new objects, frames late", longest, 5, True, f"{count} new objects; worst is {latest}")
    gate_ms = statistics.median(ms for tally in tallies for ms in tally.gate_ms)
    infer_ms = statistics.median(ms for tally in tallies for ms in tally.infer_ms)
    detail = f"{gate_ms:.2f}/{infer_ms:.1f} ms per frame"
    yield Row("scene gate: CPU time / inference of a frame", gate_ms / infer_ms, 0.15, True, detail)


def _recall(group: str, ours: list[Tally]) -> Row:
    wanted, kept, faint, faint_kept = (
        sum(getattr(tally, name) for tally in ours) for name in ("wanted", "kept", "faint_wanted", "faint_kept")
    )
    worst = min(ours, key=lambda tally: tally.kept / max(1, tally.wanted))
    detail = f"{wanted} detections in held frames; {faint_kept / max(1, faint):.3f} down to {FAINT}; worst is {worst}"
    return Row(f"scene gate: recall of held frames, {group}", kept / max(1, wanted), 0.99, False, detail)


def _audited(tallies: list[Tally]) -> Row:
    audits, missed = (sum(getattr(tally.evidence, name) for tally in tallies) for name in ("audits", "missed"))
    found = sum(tally.evidence.found for tally in tallies) / max(1e-9, sum(tally.evidence.weight for tally in tallies))
    low, high = bounds(found, max(1, audits))
    detail = f"{audits} audits of all sequences, {missed} with a missing object; 95 %: {low:.3f} to {high:.3f}"
    return Row("scene gate: audited recall", found, 0.99, False, detail)


def _watch(network: Network, flow: FlowSettings, sequence: Sequence) -> Tally:
    """Run one sequence with the gate and with full inference."""
    now_s = 0.0
    full = Inference(network, clock=lambda: now_s)
    gated = Inference(network, clock=lambda: now_s, gate=SceneGate(flow.refresh_s, flow.gate_audits, seed=1))
    scene, truths, answers, holds = None, [], [], []
    gate_ms, infer_ms = [], []
    for number, pixels in enumerate(sequence.frames):
        now_s = number / sequence.fps
        picture = decode.read_header(decode.encode_jpeg(pixels, sequence.quality), flow.max_pixels)
        frame = Frame("bench", "bench", number, picture, ResultFilter(0.25), now_s)
        started_s, started_here_s = time.process_time(), time.thread_time()
        answer = gated.run(frame, flow.max_side, scene)
        spent_s, spent_here_s = time.process_time() - started_s, time.thread_time() - started_here_s
        scene, truth = answer.scene, answer.detected
        if answer.detected.cached:
            gate_ms.append(spent_here_s * 1000)
            truth = full.run(frame, flow.max_side).detected
        elif number:
            infer_ms.append(spent_s * 1000)
        truths.append(truth)
        answers.append(answer.detected.detections)
        holds.append(bool(answer.detected.cached))
    assert scene is not None  # the sequences are JPEGs
    pairs, faint = (_pairs(truths, answers, least) for least in (SURE, FAINT))
    return Tally(
        sequence.group, sequence.name, len(truths), sum(holds), *_kept(pairs, holds), *_kept(faint, holds),
        tuple(_late([truth.detections for truth in truths], pairs)), scene.evidence, tuple(gate_ms), tuple(infer_ms),
    )  # fmt: skip


def _pairs(
    truths: list[Detected], answers: list[tuple[Detection, ...]], least: float
) -> list[list[tuple[Detection, bool]]]:
    """For each frame: the detections of full inference, and whether the gated answer has them."""
    return [
        [(one, any(_same(one, other, SAME_PLACE) for other in answer)) for one in _sure(truth, least)]
        for truth, answer in zip(truths, answers, strict=True)
    ]


def _kept(pairs: list[list[tuple[Detection, bool]]], holds: list[bool]) -> tuple[int, int]:
    """In the held frames: detections that must not be lost, and those that are not."""
    has = [one for pair, held in zip(pairs, holds, strict=True) if held for _, one in pair]
    return len(has), sum(has)


def _sure(truth: Detected, least: float) -> list[Detection]:
    """The detections that must not be lost."""
    scale = max(truth.input_size.width, truth.input_size.height) / max(truth.image_size.width, truth.image_size.height)
    return [
        one for one in truth.detections
        if one.confidence >= least and _area(one.box_px) * scale * scale > LEAST_AREA
    ]  # fmt: skip


def _late(truths: list[tuple[Detection, ...]], pairs: list[list[tuple[Detection, bool]]]) -> Iterator[int]:
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
