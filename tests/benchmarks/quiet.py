"""The scene gate, crops and tracks, all switched on, compared with full inference: what they cost, and what they find.

Cost: four quiet cameras with all three, compared with one camera of which every frame is inferred. The scenes are the
drawn street, with other noise in each frame; one has a sign that moves for a tenth of the time. CPU time of the
decoding and the inference, in one process with a simulated clock; the two sides alternate second by second. The first
twenty seconds are not counted: meanwhile the device learns each camera's noise.

Objects: recall and precision of the answers to every frame, on the scenes and with the measure of `gate.py`. Crops find
what full inference does not: an object that it lacks is looked for in tiles at the picture's own detail, in every
tenth frame. Photographs are not part of the project; without them, only the drawn streets run.
"""

from __future__ import annotations

import functools
import operator
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.flow.crops.crops import Crops
from appliance.flow.inference import Inference, Network
from appliance.flow.scene_gate import LastScene, SceneGate
from appliance.flow.sizes import Sizes
from appliance.flow.tracks import CameraTracks, Tracks
from appliance.ports import Clock
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import Detected, Detection, Frame, ResultFilter, Size
from appliance.vision import decode, scene
from tests.benchmarks import crops
from tests.benchmarks.allocation_clips import drawn
from tests.benchmarks.gate_pictures import streets
from tests.benchmarks.gate_pictures.cutout import Pixels
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.benchmarks.gate_recording import LEAST, recorded
from tests.benchmarks.gate_score import SURE, Count, Kept, has, kept, sure
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT
from tests.evaluation.coco import DATA

SIZE, FPS = Size(1280, 720), 5
SECONDS, LEARNING_S = 60, 20
CAMERAS = 4
SEEDS = {True: (17, 19), False: (19, 21)}
"""Still scenes and streets of which the pictures are large enough for crops."""
CHECKED = 10
"""Every how many frames an object that full inference lacks is looked for in tiles."""


@dataclass(slots=True)
class Side:
    """Some cameras and how their frames run."""

    inference: Inference
    scenes: list[LastScene | None]
    tracks: list[CameraTracks] | None
    spent_s: float = 0.0
    frames: int = 0
    held: int = 0
    cropped: int = 0

    def run(self, camera: int, number: int, data: bytes, max_side: int, *, counts: bool) -> Detected:
        started_s = time.process_time()
        picture = decode.read_header(data, SIZE.width * SIZE.height)
        frame = Frame(f"camera {camera}", "bench", number, picture, ResultFilter(LEAST), number / FPS)
        answer = self.inference.run(frame, max_side, self.scenes[camera])
        self.scenes[camera] = answer.scene or self.scenes[camera]
        detected = answer.detected
        if self.tracks is not None:
            detected = self.tracks[camera].follow(detected, frame.received_s)
        if counts:
            self.spent_s += time.process_time() - started_s
            self.frames += 1
            self.held += bool(detected.cached)
            self.cropped += bool(detected.regions and not detected.cached)
        return detected


@dataclass(frozen=True, slots=True)
class Together:
    """What all three find in one sequence, compared with full inference of each frame."""

    group: str
    name: str
    kept: Kept
    before: Kept
    """The same for full inference of the frame before."""
    further: Count
    """Sure detections that full inference lacks, in the checked frames; `found`: those that tiles show too."""
    held: float
    cropped: float
    """Parts of the frames that were held, and that ran as crops or overviews."""

    def __str__(self) -> str:
        return f"{self.name}: recall {self.kept.sure.part:.3f}, precision {self.kept.true.part:.3f}"


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime", "flow.crops": "auto"})
    network = load_network(settings)
    network = replace(network, sizes=Sizes(network.engine, 32, None, most=8))
    try:
        cost, four = _compare(network, settings.flow)
        found = [four]
        for sequence in _sequences():
            found.append(_together(network, settings.flow, sequence))
            print(f"  {found[-1].group}, {found[-1]}", flush=True)
    finally:
        network.close()
    groups = dict.fromkeys(one.group for one in found)
    return [cost, *(row for group in groups for row in _rows(group, [one for one in found if one.group == group]))]


def _sequences() -> Iterator[Sequence]:
    yield drawn(13, "far")
    photos = DATA / "coco64/images"
    if not photos.exists():
        print(f"quiet: photographs skipped; {photos} does not exist")
        return
    for still, group in ((True, "still scenes"), (False, "streets with pauses")):
        for seed in SEEDS[still]:
            yield streets.draw(seed, photos=photos, still=still, frames=300).sequence(group)


def _rows(group: str, found: list[Together]) -> Iterator[Row]:
    ours, before = (
        functools.reduce(operator.add, those) for those in zip(*((one.kept, one.before) for one in found), strict=True)
    )
    held, cropped = (sum(getattr(one, name) for one in found) / len(found) for name in ("held", "cropped"))
    detail = (
        f"{ours.sure.of} objects; {held:.2f} of the frames held, {cropped:.2f} in crops; "
        f"frame before: {before.sure.part:.3f}"
    )
    if len(found) > 1:
        detail += f"; worst is {min(found, key=lambda one: one.kept.sure.part)}"
    yield Row(f"all three: recall of full inference, {group}", ours.sure.part, 0.99, False, detail)
    further = functools.reduce(operator.add, (one.further for one in found))
    detail = f"frame before: {before.true.part:.3f}"
    if further.of:
        detail += f"; tiles show {further.found} of {further.of} that full inference lacks, in every {CHECKED}th frame"
    yield Row(f"all three: precision, {group}", ours.true.part, 0.985, False, detail)


def _compare(network: Network, flow: FlowSettings) -> tuple[Row, Together]:
    now_s = 0.0
    four = _all_three(network, flow, lambda: now_s, CAMERAS)
    one = Side(Inference(network, clock=lambda: now_s), [None], None)
    for side in (flow.max_side, flow.max_side // 2):
        network.engine.prepare(network.sizes.best(SIZE, side))
    random = np.random.default_rng(5)
    noises = [random.normal(0, 2 + camera, (SIZE.height, SIZE.width, 3)).astype(np.int16) for camera in range(CAMERAS)]
    answers, truths, befores = (list[tuple[Detection, ...]]() for _ in range(3))
    last: list[bytes] = []
    for number in range(SECONDS * FPS):
        now_s, counts = number / FPS, number >= LEARNING_S * FPS
        jpegs = [_picture(random, noises[camera], camera, now_s) for camera in range(CAMERAS)]
        found = [four.run(camera, number, data, flow.max_side, counts=counts) for camera, data in enumerate(jpegs)]
        one.run(0, number, jpegs[0], flow.max_side, counts=counts)
        if counts and number % CHECKED == 0:
            full = Side(one.inference, [None for _ in range(2 * CAMERAS)], None)
            whole = [full.run(n, number, data, flow.max_side, counts=False) for n, data in enumerate([*jpegs, *last])]
            answers += [detected.detections for detected in found]
            truths += [detected.detections for detected in whole[:CAMERAS]]
            befores += [detected.detections for detected in whole[CAMERAS:]]
        last = jpegs
    detail = (
        f"{four.spent_s:.1f}/{one.spent_s:.1f} s for {four.frames} and {one.frames} frames; "
        f"{four.held / four.frames:.2f} of the four's held"
    )
    cost = Row("quiet: CPU time of four cameras / one without", four.spent_s / one.spent_s, 1.5, True, detail)
    ours, before = (kept(range(len(truths)), truths, those, flow.max_side / SIZE.width) for those in (answers, befores))
    return cost, Together(
        "drawn street", "four cameras", ours, before, Count(0, 0), four.held / four.frames, four.cropped / four.frames
    )


def _together(network: Network, flow: FlowSettings, sequence: Sequence) -> Together:
    recording = recorded(network, sequence, flow.max_side, ROOT / "build/bench/gate")
    for side in (flow.max_side, flow.max_side // 2):
        network.engine.prepare(network.sizes.best(recording.image_size, side))
    now_s, truths, answers, further = 0.0, recording.answers, list[tuple[Detection, ...]](), Count(0, 0)
    scale = recording.scale
    camera = _all_three(network, flow, lambda: now_s, 1)
    for number, (pixels, truth) in enumerate(zip(sequence.show(), truths, strict=True)):
        now_s = number / FPS
        data = decode.encode_jpeg(pixels, sequence.quality)
        answers.append(camera.run(0, number, data, flow.max_side, counts=True).detections)
        if number % CHECKED == 0:
            further += _further(network, pixels, truth, sure(answers[-1], SURE, scale))
    ours, before = (kept(range(len(truths)), truths, those, scale) for those in (answers, [(), *truths[:-1]]))
    return Together(
        sequence.group,
        sequence.name,
        ours,
        before,
        further,
        camera.held / camera.frames,
        camera.cropped / camera.frames,
    )


def _all_three(network: Network, flow: FlowSettings, clock: Clock, cameras: int) -> Side:
    gate, tracks = SceneGate(flow.refresh_s, flow.gate_audits, seed=1), Tracks(5.0, clock=clock)
    inference = Inference(network, clock=clock, gate=gate, crops=Crops(network.placing))
    return Side(inference, [None] * cameras, [tracks.camera() for _ in range(cameras)])


def _further(network: Network, pixels: Pixels, truth: tuple[Detection, ...], answer: list[Detection]) -> Count:
    """Detections that full inference lacks, and how many of them tiles show."""
    lacking = [one for one in answer if not has(truth, one)]
    tiles = tuple(crops.look(network, pixels)) if lacking else ()
    return Count(len(lacking), sum(has(tiles, one) for one in lacking))


def _picture(random: np.random.Generator, noise: NDArray[np.int16], camera: int, at_s: float) -> bytes:
    moves = camera == 0 and at_s % 20 < 2
    pixels = _street(0.3 + 0.1 * camera + (0.05 * (at_s % 20) if moves else 0.0))
    shifted = np.roll(noise, int(random.integers(0, SIZE.height)), axis=0)
    return decode.encode_jpeg(np.asarray(cv2.add(pixels, shifted, dtype=cv2.CV_8U), np.uint8), 80)


@lru_cache(maxsize=16)
def _street(at: float) -> NDArray[np.uint8]:
    return scene.draw(SIZE, at=at)[0]
