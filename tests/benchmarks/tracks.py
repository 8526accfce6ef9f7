"""Tracks of simulated walkers: identities for each of them, and CPU time of a frame.

Twelve walkers a minute cross the picture at different distances, a third of them stand for a while. A tenth of the
detections is missing, and boxes tremble by 3 % of their width. One identity each is perfect.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.flow.gate_audit import iou
from appliance.flow.tracks import Tracks
from appliance.values import Box, Detected, Detection, Size, Timing
from appliance.vision import decode, letterbox, scene
from tests.benchmarks.report import Row

SIZE = Size(1280, 720)
SECONDS, WALKERS, RUNS = 60, 12, 20


@dataclass(frozen=True, slots=True)
class Walker:
    from_s: float
    stays_s: float
    x: float
    foot: float
    speed: float
    height: float
    stops: bool

    def box_px(self, at_s: float) -> Box | None:
        """Where it is; lengths of the walker are in picture heights."""
        passed_s = at_s - self.from_s
        if not 0 <= passed_s <= self.stays_s:
            return None
        x = self.x + self.speed * (min(passed_s, self.stays_s / 3) if self.stops else passed_s)
        half, high = 0.2 * self.height, SIZE.height
        if not 0 < x * high < SIZE.width:
            return None
        return Box((x - half) * high, (self.foot - self.height) * high, (x + half) * high, self.foot * high)


def run(_: Path) -> list[Row]:
    return list(_rows())


def _rows() -> Iterator[Row]:
    costs_us = []
    for fps in (10, 5, 2, 1):
        tallies = [_walk(fps, seed) for seed in range(RUNS)]
        seen, identities, exchanged = (sum(tally[part] for tally in tallies) for part in range(3))
        costs_us += [tally[3] for tally in tallies]
        detail = f"{identities} identities of {seen} walkers; an identity was exchanged or lost {exchanged} times"
        yield Row(f"tracks: identities / walkers, {fps} frames/s", identities / seen, 1.25, True, detail)
    for every in (2, 5):
        ours, repeated = (
            statistics.mean(found) for found in zip(*(_predict(every, seed) for seed in range(RUNS)), strict=True)
        )
        detail = f"mean IoU with the walkers' boxes: {ours:.3f} and {repeated:.3f}"
        claim = f"tracks: predicted boxes / boxes of the last answer, {10 / every:.0f} answers/s"
        yield Row(claim, ours / repeated, 1.0, False, detail)
    ours_us, decoding_us = float(np.median(costs_us)), _decoding_us()
    detail = f"{ours_us:.0f}/{decoding_us:.0f} us; {_crowd_us():.0f} us with 64 objects"
    yield Row("tracks: CPU time / decoding a frame", ours_us / decoding_us, 0.1, True, detail)


def _walk(fps: int, seed: int) -> tuple[int, int, int, float]:
    """Walkers seen, identities, exchanges, and the mean CPU time of a frame, us."""
    random = np.random.default_rng(seed)
    walkers = [_walker(random) for _ in range(WALKERS)]
    camera = Tracks(5.0, clock=lambda: 0.0).camera()
    identities: dict[int, list[int]] = {}
    spent_s = 0.0
    for number in range(SECONDS * fps):
        at_s = number / fps
        places = [(who, box) for who, one in enumerate(walkers) if (box := one.box_px(at_s)) is not None]
        places = [place for place in places if random.random() > 0.1]
        found = tuple(Detection("person", 0, 0.8, _trembling(box, random)) for _, box in places)
        started_s = time.thread_time()
        answer = camera.follow(Detected(found, SIZE, SIZE, "", Timing(0, 0, 0, 0)), at_s)
        spent_s += time.thread_time() - started_s
        for (who, _), one in zip(places, answer.detections, strict=True):
            assert one.track is not None
            identities.setdefault(who, []).append(one.track.track_id)
    exchanged = sum(a != b for ids in identities.values() for a, b in itertools.pairwise(ids))
    return len(identities), sum(len(set(ids)) for ids in identities.values()), exchanged, spent_s / number * 1e6


def _predict(every: int, seed: int) -> tuple[float, float]:
    """Mean IoU of predicted boxes, and of the last answer's, at 10 frames/s of which each `every`th is answered."""
    random = np.random.default_rng(seed)
    walkers = [_walker(random) for _ in range(WALKERS)]
    camera, ours, repeated = Tracks(5.0, clock=lambda: 0.0).camera(), [], []
    last: dict[int, Box] = {}
    for number in range(SECONDS * 10):
        at_s = number / 10
        truth = {who: box for who, one in enumerate(walkers) if (box := one.box_px(at_s)) is not None}
        if number % every == 0:
            last = {who: _trembling(box, random) for who, box in truth.items()}
            found = tuple(Detection("person", 0, 0.8, box) for box in last.values())
            camera.follow(Detected(found, SIZE, SIZE, "", Timing(0, 0, 0, 0)), at_s)
            continue
        answer = camera.predicted(at_s)
        boxes = [] if answer is None else [one.box_px for one in answer.detections]
        for who in truth.keys() & last.keys():
            ours.append(max((iou(truth[who], box) for box in boxes), default=0.0))
            repeated.append(iou(truth[who], last[who]))
    return statistics.mean(ours), statistics.mean(repeated)


def _walker(random: np.random.Generator) -> Walker:
    height = random.uniform(0.1, 0.4)
    return Walker(
        from_s=random.uniform(0, SECONDS - 5),
        stays_s=random.uniform(5, 25),
        x=random.uniform(0.1, 1.6),
        foot=random.uniform(0.5, 1),
        speed=height * random.uniform(0.3, 1.0) * random.choice([-1, 1]),
        height=height,
        stops=random.random() < 0.3,
    )


def _trembling(box: Box, random: np.random.Generator) -> Box:
    x1, y1, x2, y2 = random.normal((box.x1, box.y1, box.x2, box.y2), 0.03 * (box.x2 - box.x1))
    return Box(x1, y1, x2, y2)


def _crowd_us() -> float:
    """CPU time of a frame with as many objects as a camera may have."""
    camera, costs = Tracks(5.0, clock=lambda: 0.0).camera(), []
    for number in range(100):
        found = tuple(
            Detection("person", 0, 0.8, Box(x, y, x + 40, y + 80))
            for x in np.arange(8) * 150.0 + number for y in np.arange(8) * 80.0
        )  # fmt: skip
        started_s = time.thread_time()
        camera.follow(Detected(found, SIZE, SIZE, "", Timing(0, 0, 0, 0)), number / 5)
        costs.append(time.thread_time() - started_s)
    return float(np.median(costs)) * 1e6


def _decoding_us() -> float:
    picture = decode.read_header(decode.encode_jpeg(scene.draw(SIZE)[0], 80), 10**7)
    place, costs = letterbox.fit(SIZE, Size(640, 384)), []
    for _ in range(30):
        started_s = time.thread_time()
        decode.load(picture, place)
        costs.append(time.thread_time() - started_s)
    return float(np.median(costs)) * 1e6
