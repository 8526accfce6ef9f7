"""A video of a fixed camera, as it is and with pauses in which it shows one picture with noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.gate_pictures.cutout import Pixels
from tests.benchmarks.gate_pictures.sequence import Sequence

GROUP, PAUSES = "video", "video with pauses"
FPS = 5.0
_MOVES, _PAUSES = 20, 60
"""Frames of each stretch."""


def sequences(path: Path) -> Iterator[Sequence]:
    yield Sequence(GROUP, "every 2nd frame", FPS, partial(_frames, path, 2))
    yield Sequence(GROUP, "a quiet corner, every 2nd frame", FPS, partial(_corner, path))
    for sigma in (1.5, 4.0):
        yield Sequence(PAUSES, f"pauses, noise {sigma}", FPS, partial(_paused, path, sigma))


def _corner(path: Path) -> Iterator[Pixels]:
    return (pixels[360:, :384] for pixels in _frames(path, 2))


def _paused(path: Path, sigma: float) -> Iterator[Pixels]:
    random = np.random.default_rng(3)
    for number, pixels in enumerate(_frames(path, 2)):
        if number >= 6 * _MOVES:
            break
        repeats = _PAUSES if number % _MOVES == _MOVES - 1 else 1
        for _ in range(repeats):
            noise = random.normal(0, sigma, pixels.shape)
            yield np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _frames(path: Path, step: int) -> Iterator[Pixels]:
    video = cv2.VideoCapture(str(path))
    number = 0
    while True:
        good, pixels = video.read()
        if not good:
            break
        if number % step == 0:
            yield np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        number += 1
    video.release()
