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

from appliance.flow.gate_audit import GateEvidence, bounds
from appliance.flow.inference import Inference, Network
from appliance.flow.scene_gate import GateRequest, LastScene, SceneGate
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import Detected, Frame, ModelInfo, ResultFilter, Size, Timing
from appliance.vision import decode, scene
from tests.benchmarks.gate_pictures import stages, streets, video
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.benchmarks.gate_pictures.weather import Weather
from tests.benchmarks.gate_recording import LEAST, Recording, recorded
from tests.benchmarks.gate_score import FAINT, Answers, Kept, kept, late
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT
from tests.evaluation.coco import DATA

LEARNING_S = 20
"""By then the gate knows what is usual at a camera."""
STILL, STREET = "still scenes", "streets with pauses"
SEEDS = range(13, 25, 2)
"""Scenes from seeds below 13 were used to develop the gate, or looked at."""


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
    held_later: float
    """Part held after LEARNING_S."""
    disturbed: str
    """What changes although nothing happens."""

    @property
    def part_held(self) -> float:
        return self.held / self.frames

    def __str__(self) -> str:
        sure, late = self.gate.sure, max(self.late, default=0)
        held = f"{self.held} of {self.frames} held"
        return f"{self.name}: {held}, {sure.of - sure.found} of {sure.of} lost, {late} late"


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime"})
    network = load_network(settings)
    flow, tallies = settings.flow, []
    try:
        for sequence, disturbed in _sequences():
            recording = recorded(network, sequence, flow.max_side, ROOT / "build/bench/gate")
            tallies.append(_watch(network.info, flow, sequence, recording, disturbed))
            print(f"  {tallies[-1].group}, {tallies[-1]}", flush=True)
        costs = _costs(network, flow)
    finally:
        network.engine.close()
    return [*_rows(tallies), costs]


def _sequences() -> Iterator[tuple[Sequence, str]]:
    """The sequences, each with what disturbs it."""
    photos, clip = DATA / "coco64/images", DATA / "vtest.avi"
    if photos.exists():
        for still, group, frames in ((True, STILL, 300), (False, STREET, 300)):
            for seed in SEEDS:
                drawn = streets.draw(seed, photos=photos, still=still, frames=frames)
                yield drawn.sequence(group), _disturbances(drawn.weather)
    else:
        print(f"scene gate: photographs skipped; {photos} does not exist")
    if clip.exists():
        yield from ((sequence, "") for sequence in video.sequences(clip))
    else:
        print(f"scene gate: video skipped; {clip} does not exist")
    yield from ((sequence, "") for sequence in stages.sequences(photos))


def _disturbances(weather: Weather) -> str:
    found = {
        "wind": weather.leaves > 0,
        "rain": weather.rain > 0,
        "headlights": weather.headlights > 0,
        "a shaking camera": weather.shake > 0,
        "clouds": weather.clouds > 0,
        "flicker": weather.flicker > 0 or weather.bands > 0,
        "a clock": weather.clock,
        f"noise of {weather.noise:.0f} levels": True,
    }
    return ", ".join(name for name, there in found.items() if there)


def _rows(tallies: list[Tally]) -> Iterator[Row]:
    for group, least in ((STILL, 0.9), (STREET, 0.5), (video.PAUSES, 0.5)):
        ours = [tally for tally in tallies if tally.group == group]
        if ours:
            held, frames = sum(tally.held for tally in ours), sum(tally.frames for tally in ours)
            worst = min(ours, key=lambda tally: tally.part_held)
            yield Row(
                f"scene gate: part held, {group}", held / frames, least, False, f"{frames} frames; worst is {worst}"
            )
    for tally in tallies:
        if tally.group == STILL:
            detail = f"{tally.disturbed}; {tally.held_later:.3f} after {LEARNING_S} s"
            yield Row(f"scene gate: part held, {tally.name}", tally.part_held, 0.9, False, detail)
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


def _watch(model: ModelInfo, flow: FlowSettings, sequence: Sequence, recording: Recording, disturbed: str) -> Tally:
    """Run the gate over one sequence."""
    answers, held, evidence = replay(model, flow, sequence.fps, recording)
    truths, scale = recording.answers, recording.scale
    gated, before = (kept(held, truths, other, scale) for other in (answers, [(), *truths[:-1]]))
    new = tuple(late(truths, answers, scale))
    learned = round(LEARNING_S * sequence.fps)
    later = sum(number >= learned for number in held) / max(1, len(truths) - learned)
    return Tally(sequence.group, sequence.name, len(truths), len(held), gated, before, new, evidence, later, disturbed)


def replay(
    model: ModelInfo, flow: FlowSettings, fps: float, recording: Recording
) -> tuple[Answers, list[int], GateEvidence]:
    """The gated answer to each frame of a recording, the numbers of the held ones, and what the audits showed."""
    gate = SceneGate(flow.refresh_s, flow.gate_audits, seed=1)
    last: LastScene | None = None
    request = GateRequest(ResultFilter(LEAST), recording.image_size, recording.input_size)
    answers: Answers = []
    held: list[int] = []
    for number, (cells, truth) in enumerate(zip(recording.cells, recording.answers, strict=True)):
        now_s = number / fps
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
    return answers, held, last.evidence


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
