"""The clips of `allocation.py`: drawn streets, still and lively ones made from photographs, a video; and F1 on them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.flow.gate_audit import same_objects
from appliance.flow.inference import Network
from appliance.values import Detection, Size
from appliance.vision import scene
from tests.benchmarks.gate_pictures import streets, video
from tests.benchmarks.gate_pictures.cutout import Pixels
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.benchmarks.gate_recording import Recording, recorded
from tests.benchmarks.gate_score import SURE
from tests.benchmarks.service import ROOT
from tests.evaluation.coco import DATA

FPS = streets.FPS
FRAMES, WINDOW = 300, 50
WHOLE_SIDE, SMALL_SIDE = 640, 320
DRAWN = ("still", "rare", "lively", "far")


@dataclass(frozen=True)
class CameraClip:
    """One camera's frames: the network's answers to each of them at both sizes."""

    name: str
    recordings: dict[int, Recording]

    @functools.cached_property
    def _known(self) -> dict[tuple[int, int, int, int], NDArray[np.int64]]:
        return {}

    def agreement(self, number: int, source: int, side: int, wanted_side: int = WHOLE_SIDE) -> NDArray[np.int64]:
        """Compare inference of a frame at one size with the answer to another frame."""
        key = number, source, side, wanted_side
        counts = self._known.get(key)
        if counts is None:
            counts = agreement(self.recordings[wanted_side].answers[number], self.recordings[side].answers[source])
            self._known[key] = counts
        return counts


def sets(network: Network, seeds: tuple[int, ...], drawn_seed: int) -> Iterator[tuple[str, list[CameraClip]]]:
    """Four unlike clips for each seed, with the network's answers."""
    streets_drawn = {kind: _recorded(network, drawn(drawn_seed, kind)) for kind in DRAWN}
    yield f"drawn {drawn_seed}", list(streets_drawn.values())
    photos, clip = DATA / "coco64/images", DATA / "vtest.avi"
    if not (photos.exists() and clip.exists()):
        print(f"allocation: photographs and video skipped; {photos} or {clip} does not exist")
        return
    for seed in seeds:
        scenes = [
            streets.draw(seed, photos=photos, still=still, frames=FRAMES).sequence(group)
            for still, group in ((True, "still scenes"), (False, "streets with pauses"))
        ]
        busy = next(video.sequences(clip))
        yield (
            f"mixed {seed}",
            [*(_recorded(network, one) for one in (*scenes, busy)), streets_drawn[DRAWN[2 + seed // 2 % 2]]],
        )


def _recorded(network: Network, sequence: Sequence) -> CameraClip:
    folder = ROOT / "build/bench/gate"
    sides = (WHOLE_SIDE, SMALL_SIDE)
    return CameraClip(sequence.name, {side: recorded(network, sequence, side, folder) for side in sides})


def agreement(truth: tuple[Detection, ...], answer: tuple[Detection, ...]) -> NDArray[np.int64]:
    """Agreed, and wanted and given: what `f1` needs, may be summed over frames.

    A sure detection needs a partner among all detections of the other answer.
    """
    same = same_objects(truth, answer)
    wanted, given = (np.array([one.confidence >= SURE for one in those], bool) for those in (truth, answer))
    agreed = np.sum(same.any(axis=1) & wanted) + np.sum(same.any(axis=0) & given)
    return np.array([agreed, wanted.sum() + given.sum()])


def f1(counts: NDArray[np.int64]) -> float:
    """F1 of (agreed, wanted and given), summed over frames; 1 where there is nothing."""
    agreed, there = counts
    return float(agreed / there) if there else 1.0


def drawn(seed: int, kind: str) -> Sequence:
    """One of DRAWN, at random."""
    return Sequence("drawn", f"{kind} {seed} {FRAMES}", FPS, _DrawnStreet(seed, kind).pictures)


@dataclass(frozen=True, slots=True)
class _DrawnStreet:
    """The drawn street with signs that stand (still), pass (rare), cross it (lively), or are small (far)."""

    seed: int
    kind: str

    def pictures(self) -> Iterator[Pixels]:
        random = np.random.default_rng([self.seed, DRAWN.index(self.kind)])
        size = Size(1280, 720)
        noise = np.rint(random.normal(0, random.uniform(1, 5), (size.height, size.width, 3))).astype(np.int16)
        signs = [_Sign.draw(random, self.kind) for _ in range(1 if self.kind == "rare" else 3)]
        for number in range(FRAMES):
            places = [place for sign in signs if (place := sign.place(number / FPS)) is not None]
            pixels, _ = scene.draw_signs(size, places)
            shifted = np.roll(noise, int(random.integers(size.height)), axis=0)
            yield np.asarray(cv2.add(pixels, shifted, dtype=cv2.CV_8U), np.uint8)


@dataclass(frozen=True, slots=True)
class _Sign:
    """Lengths are parts of the picture; it crosses the picture in `crosses_s` and is away for `away_s`."""

    x: float
    y: float
    radius: float
    crosses_s: float
    away_s: float

    @classmethod
    def draw(cls, random: np.random.Generator, kind: str) -> _Sign:
        radius = random.uniform(0.03, 0.06) if kind == "far" else random.uniform(0.08, 0.2)
        crosses_s = {"still": math.inf, "rare": 4.0, "lively": random.uniform(3, 8), "far": random.uniform(10, 30)}[
            kind
        ]
        away_s = random.uniform(12, 25) if kind == "rare" else random.uniform(0, 3)
        return cls(random.uniform(0.1, 0.9), random.uniform(0.25, 0.55), radius, crosses_s, away_s)

    def place(self, at_s: float) -> tuple[float, float, float] | None:
        if math.isinf(self.crosses_s):
            return self.x, self.y, self.radius
        passed_s = (at_s + self.x * self.crosses_s) % (self.crosses_s + self.away_s)
        return (passed_s / self.crosses_s, self.y, self.radius) if passed_s < self.crosses_s else None
