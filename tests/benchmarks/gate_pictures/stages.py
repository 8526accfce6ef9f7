"""Short composed sequences: a person, or the drawn STOP sign, put into a photograph or the drawn street."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from appliance.values import Size
from appliance.vision import scene
from tests.benchmarks.gate_pictures.cutout import Cutout, Pixels, cut, read, widescreen
from tests.benchmarks.gate_pictures.sequence import Sequence

SIZE = Size(1280, 720)
FPS = 10.0
LIGHT = "light and noise"


@dataclass(frozen=True, slots=True)
class Stage:
    """An empty scene, an object, and the object's place and height in px of the picture."""

    name: str
    empty: Pixels
    object: Cutout
    x: int
    y: int
    height: int
    """52-80, which is 26-40 px in the network's input."""

    def shown(self, x: int | None = None, strength: float = 1.0, brightness: float = 1.0) -> Pixels:
        return self.object.at(self.empty, self.x if x is None else x, self.y, self.height, strength, brightness)


def sequences(photos: Path) -> Iterator[Sequence]:
    """Sequences of 6 s each, in the drawn street and, if there are photographs, in two of them."""
    for stage in _stages(photos):
        for group, name, sigma, picture in _acts(stage):
            yield Sequence(group, f"{name}, {stage.name}", FPS, partial(_noisy, picture, sigma))


def _acts(stage: Stage) -> Iterator[tuple[str, str, float, Callable[[int], Pixels]]]:
    """The group, name, standard deviation of the noise, and a function from a frame number (0-59) to a picture."""
    shown, empty = stage.shown(), stage.empty
    random = np.random.default_rng(1)
    shakes = random.integers(-3, 4, (60, 2))
    for sigma in (2, 4):
        yield LIGHT, f"noise {sigma}", sigma, lambda n: shown
    yield LIGHT, "noise 8", 8, lambda n: shown
    for part in (0.05, 0.1):
        yield LIGHT, f"lamps flicker {part:.0%}", 2, _flickering(shown, part)
    yield LIGHT, "a cloud", 2, lambda n: _lit(shown, 1 - 0.3 * n / 59)
    yield LIGHT, "dusk", 2, lambda n: _lit(shown, 0.4)
    yield LIGHT, "night", 12, lambda n: _lit(shown, 0.3)
    yield "shake", "3 px", 2, lambda n: _moved(shown, *shakes[n])
    for sigma in (2, 6):
        yield "objects", f"appears, noise {sigma}", sigma, lambda n: shown if n >= 20 else empty
    yield "objects", "leaves", 2, lambda n: empty if n >= 40 else shown
    yield "objects", "enters slowly", 2, lambda n: stage.shown(2 * n - stage.height)
    yield "objects", "creeps", 4, lambda n: stage.shown(stage.x + n - 30)
    yield "objects", "low contrast", 4, lambda n: stage.shown(strength=0.35) if n >= 20 else empty
    yield (
        "objects",
        "almost the background's brightness",
        2,
        lambda n: stage.shown(brightness=0.2) if n >= 20 else empty,
    )


def _flickering(pixels: Pixels, part: float) -> Callable[[int], Pixels]:
    bright, dark = _lit(pixels, 1 + part), _lit(pixels, 1 - part)
    return lambda n: bright if n % 2 else dark


def _stages(photos: Path) -> Iterator[Stage]:
    street, _ = scene.draw(SIZE, at=0.9)
    yield Stage("drawn street", street, _sign(), 300, 300, 64)
    if not photos.exists():
        return
    person = cut(photos / "000000006954.jpg", (145, 136, 267, 330))
    yield Stage("road", widescreen(read(photos / "000000001532.jpg"), SIZE.width, SIZE.height), person, 700, 640, 76)
    yield Stage("beach", widescreen(read(photos / "000000007281.jpg"), SIZE.width, SIZE.height), person, 200, 640, 76)


def _noisy(picture: Callable[[int], Pixels], sigma: float) -> Iterator[Pixels]:
    """The 60 pictures with noise, cut from one large field at random places: new noise for each would be too slow."""
    random = np.random.default_rng(7)
    field = random.standard_normal((SIZE.height + 199, SIZE.width + 199, 3), np.float32) * np.float32(sigma)
    noise = field.round().astype(np.int16)
    for number in range(60):
        y, x = random.integers(0, 200, 2)
        yield cv2.add(picture(number), noise[y : y + SIZE.height, x : x + SIZE.width], dtype=cv2.CV_8U)


def _lit(pixels: Pixels, gain: float) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=gain), np.uint8)


def _moved(pixels: Pixels, x: int, y: int) -> Pixels:
    by = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return np.asarray(cv2.warpAffine(pixels, by, (SIZE.width, SIZE.height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _sign() -> Cutout:
    """The drawn STOP sign without its pole."""
    pixels, box = scene.draw(SIZE)
    left, top, right, bottom = (round(value) for value in (box.x1, box.y1, box.x2, box.y2))
    width, height = right - left, bottom - top
    cut = 1 - 1 / math.sqrt(2)
    x, y = round(width * cut), round(height * cut)
    corners = [(x, 0), (width - x, 0), (width, y), (width, height - y),
               (width - x, height), (x, height), (0, height - y), (0, y)]  # fmt: skip
    part = np.zeros((height, width), np.uint8)
    cv2.fillPoly(part, [np.array(corners, np.int32)], 1)
    return Cutout(pixels[top:bottom, left:right].astype(np.float32), part.astype(np.float32))
