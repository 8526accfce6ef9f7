"""Sequences of a fixed camera, drawn at random from a seed: still scenes, and streets with pauses.

An even seed uses photographs that the gate was developed on, an odd one those by which it is judged.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.gate_pictures import weather
from tests.benchmarks.gate_pictures.cutout import Cutout, Pixels, cut, read, widescreen
from tests.benchmarks.gate_pictures.sequence import Sequence
from tests.benchmarks.gate_pictures.weather import Sky, Weather

FPS = 5.0

_PLACES = (
    ("000000001532", "000000007281", "000000002923", "000000000139", "000000008211", "000000001268"),
    ("000000006040", "000000007816", "000000012120", "000000004495", "000000005586", "000000011813"),
)
"""Photographs to develop on, and to judge by."""
_OBJECTS = (
    (
        ("000000006954", (145, 137, 268, 330)),
        ("000000002532", (183, 305, 284, 474)),
        ("000000011699", (61, 83, 223, 419)),
        ("000000002006", (8, 87, 609, 433)),
    ),
    (
        ("000000007511", (386, 241, 509, 472)),
        ("000000009448", (128, 101, 382, 632)),
        ("000000007816", (241, 34, 467, 360)),
        ("000000005037", (2, 56, 365, 367)),
    ),
)


@dataclass(frozen=True, slots=True)
class Walk:
    """An object's way through the picture: it comes, may stand, and goes. Places are parts of the picture."""

    object: Cutout
    from_s: float
    crosses_s: float
    """Time from one edge to the other, without standing."""
    stands_at: float | None
    stands_s: float
    y: float
    height: float
    leftwards: bool

    def place(self, at_s: float) -> float | None:
        """Where its middle is, 0-1 and beyond; None: not there."""
        passed_s, stop_s = at_s - self.from_s, (self.stands_at or 0) * self.crosses_s
        if self.stands_at is not None and passed_s > stop_s:
            passed_s = max(stop_s, passed_s - self.stands_s)
        part = passed_s / self.crosses_s
        if not 0 <= part <= 1:
            return None
        part = part * 1.3 - 0.15
        return 1 - part if self.leftwards else part

    def moves(self, at_s: float) -> bool:
        return self.place(at_s) != self.place(at_s + 1 / FPS)


@dataclass(frozen=True, slots=True)
class Street:
    """One sequence: `frames` pictures at FPS."""

    name: str
    seed: int
    size: tuple[int, int]
    frames: int
    weather: Weather
    walks: tuple[Walk, ...]
    empty: Pixels
    quality: int
    video: bool
    """Compressed as a video first, as in a camera that sends H.264."""

    def sequence(self, group: str) -> Sequence:
        return Sequence(group, self.name, FPS, self.pictures, self.quality)

    def pictures(self) -> Iterator[Pixels]:
        shown = self._shown()
        return _through_video(shown, self.size) if self.video else shown

    def _shown(self) -> Iterator[Pixels]:
        width, height = self.size
        random = np.random.default_rng(self.seed)
        sky = Sky(self.weather, width, height, random, FPS)
        for number in range(self.frames):
            pixels = self.empty.copy()
            for walk in self.walks:
                place = walk.place(number / FPS)
                if place is not None:
                    tall = round(walk.height * height)
                    wide = walk.object.part.shape[1] / walk.object.part.shape[0] * tall
                    bob = 0.004 * height * math.sin(number * 1.3) if walk.moves(number / FPS) else 0.0
                    walk.object.onto(pixels, place * width - wide / 2, walk.y * height + bob, tall)
            yield sky.over(pixels, number)


def draw(seed: int, *, photos: Path, still: bool, frames: int) -> Street:
    """The sequence of a seed."""
    random = np.random.default_rng([seed, still])
    judging, rough = seed % 2, seed // 2 % 2 == 1
    size = [(1280, 720), (960, 540), (640, 480)][random.integers(3)]
    places, objects = _PLACES[judging], _OBJECTS[judging]
    name = places[random.integers(len(places))]
    empty = widescreen(read(photos / f"{name}.jpg"), *size)
    cutouts = [cut(photos / f"{photo}.jpg", box) for photo, box in objects]
    seconds = frames / FPS
    walks = [_standing(random, cutouts, seconds)] if random.random() < 0.5 else []
    if not still:
        walks += _traffic(random, cutouts, seconds)
    kind = "still" if still else "street"
    return Street(
        name=f"{kind} {seed}, {'rough' if rough else 'calm'} weather",
        seed=seed,
        size=size,
        frames=frames,
        weather=weather.draw(random, rough=rough),
        walks=tuple(walks),
        empty=empty,
        quality=int(random.integers(50, 91)),
        video=bool(random.random() < 0.4),
    )


def _standing(random: np.random.Generator, cutouts: list[Cutout], seconds: float) -> Walk:
    """An object that is there from the first picture to the last."""
    stands_at = random.uniform(0.2, 0.8)
    return Walk(_one(random, cutouts), -10 * stands_at, 10, stands_at, 10 * seconds, *_form(random))


def _traffic(random: np.random.Generator, cutouts: list[Cutout], seconds: float) -> list[Walk]:
    """Objects that come in bursts, with pauses of about two thirds of the time between them."""
    walks, at_s = [], random.uniform(3, 10)
    while at_s < seconds:
        for _ in range(1 + random.poisson(0.7)):
            stands = random.random() < 0.25
            walks.append(
                Walk(
                    _one(random, cutouts), at_s + random.uniform(0, 2), random.uniform(4, 9),
                    random.uniform(0.3, 0.7) if stands else None, random.uniform(5, 15) if stands else 0.0,
                    *_form(random),
                )
            )  # fmt: skip
        at_s += 7 + random.exponential(20)
    return walks


def _one(random: np.random.Generator, cutouts: list[Cutout]) -> Cutout:
    return cutouts[random.integers(len(cutouts))]


def _form(random: np.random.Generator) -> tuple[float, float, bool]:
    return random.uniform(0.7, 1.0), random.uniform(0.1, 0.4), bool(random.random() < 0.5)


def _through_video(pictures: Iterator[Pixels], size: tuple[int, int]) -> Iterator[Pixels]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "v.mp4")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), FPS, size)
        for pixels in pictures:
            writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        writer.release()
        video = cv2.VideoCapture(path)
        while True:
            good, pixels = video.read()
            if not good:
                break
            yield np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        video.release()
