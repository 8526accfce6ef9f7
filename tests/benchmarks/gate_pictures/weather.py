"""What changes in a picture although nothing happens: light, leaves, rain, headlights, noise, the camera's clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.gate_pictures.cutout import Pixels

Random = np.random.Generator

_PASSES_S = 2.5
"""Time in which a car's headlights cross the picture."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The disturbances of one sequence; 0: none.

    `light`: of the day, 0-1. `clouds`: change of light within a minute, as a part. `flicker`: change of light from
    frame to frame, as a part; `bands`: the same in bands that wander down. `leaves`: how far they swing, in 640ths of
    the width. `rain`: streaks in a picture. `headlights`: cars in a minute. `noise`: standard deviation, levels.
    `shake`: of the camera, px. `clock`: the time is written into the picture.
    """

    light: float = 1.0
    clouds: float = 0.0
    flicker: float = 0.0
    bands: float = 0.0
    leaves: float = 0.0
    rain: int = 0
    headlights: float = 0.0
    noise: float = 2.0
    shake: float = 0.0
    clock: bool = False


def draw(random: Random, *, rough: bool) -> Weather:
    """Weather at random, by day or by night. `rough`: with wind, rain, and headlights."""
    night = random.random() < 0.3
    chance = random.random(8)
    calm = Weather(
        light=random.uniform(0.25, 0.5) if night else random.uniform(0.75, 1.0),
        clouds=random.uniform(0.05, 0.3) if chance[0] < 0.5 and not night else 0.0,
        flicker=random.uniform(0.01, 0.06) if chance[1] < 0.3 else 0.0,
        bands=random.uniform(0.01, 0.04) if chance[2] < 0.3 else 0.0,
        noise=random.uniform(4, 9) if night else random.uniform(1, 6),
        clock=bool(chance[6] < 0.4),
    )
    if not rough:
        return calm
    return replace(
        calm,
        leaves=random.uniform(0.5, 3.0) if chance[3] < 0.7 else 0.0,
        rain=int(random.uniform(60, 400)) if chance[4] < 0.35 else 0,
        headlights=random.uniform(0.5, 2) if night else 0.0,
        shake=random.uniform(0.2, 0.8) if chance[5] < 0.3 else 0.0,
    )


class Sky:
    """Applies weather to pictures of one size, frame after frame."""

    def __init__(self, weather: Weather, width: int, height: int, random: Random, fps: float) -> None:
        self._weather, self._random, self._fps = weather, random, fps
        self._width, self._height = width, height
        self._field = random.standard_normal((height + 199, width + 199, 3)).astype(np.float32)
        if random.random() < 0.3:  # grains of several pixels, as after a noise filter in the camera
            self._field = cv2.GaussianBlur(self._field, (0, 0), 1.0) * np.float32(2.5)
        self._phase = random.uniform(0, 2 * math.pi)
        self._leaves = self._leaves_of(random) if weather.leaves else None
        self._cars = self._cars_of(random)
        self._ys, self._xs = np.mgrid[0:height, 0:width].astype(np.float32)

    def over(self, pixels: Pixels, number: int) -> Pixels:
        """What the camera's sensor makes of a scene in frame `number`."""
        weather, at_s = self._weather, number / self._fps
        if self._leaves is not None:
            pixels = self._swing(pixels, at_s)
        shown = pixels.astype(np.float32) * np.float32(weather.light)
        gain = 1 + weather.clouds * math.sin(2 * math.pi * at_s / 60 + self._phase) / 2
        gain *= 1 + weather.flicker * self._random.uniform(-1, 1)
        shown *= np.float32(gain)
        if weather.bands:
            rows = np.arange(self._height) / self._height * 4 * math.pi + self._random.uniform(0, 2 * math.pi)
            shown *= (1 + weather.bands * np.sin(rows)).astype(np.float32)[:, None, None]
        for start_s, y, reach in self._cars:
            if start_s <= at_s <= start_s + _PASSES_S:
                shown += self._beam((at_s - start_s) / _PASSES_S, y, reach)
        if weather.rain:
            self._rain(shown)
        if weather.shake:
            x, y = self._random.normal(0, weather.shake, 2)
            move = np.array([[1, 0, x], [0, 1, y]], np.float32)
            shown = cv2.warpAffine(shown, move, (self._width, self._height), borderMode=cv2.BORDER_REPLICATE)
        shown += self._noise(shown)
        seen = np.clip(shown, 0, 255).astype(np.uint8)
        if weather.clock:
            text = f"2026-03-14 12:{int(at_s) // 60:02}:{int(at_s) % 60:02}"
            cv2.putText(seen, text, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
        return np.asarray(seen, np.uint8)

    def _noise(self, shown: NDArray[np.float32]) -> NDArray[np.float32]:
        y, x = self._random.integers(0, 200, 2)
        window = self._field[y : y + self._height, x : x + self._width]
        return np.asarray(window * np.float32(self._weather.noise), np.float32)

    def _leaves_of(self, random: Random) -> tuple[Pixels, NDArray[np.float32]]:
        """A tree: its texture, and how much each pixel belongs to it."""
        grain = cv2.resize(random.random((self._height // 6, self._width // 6)).astype(np.float32),
                           (self._width, self._height), interpolation=cv2.INTER_CUBIC)  # fmt: skip
        colours = np.array([40, 70, 25]) + grain[..., None] * np.array([70, 90, 45])
        part = np.zeros((self._height, self._width), np.float32)
        x = random.uniform(0, self._width)
        for _ in range(40):
            middle = (int(random.normal(x, self._width / 9)), int(random.normal(self._height / 6, self._height / 9)))
            cv2.circle(part, middle, int(random.uniform(10, self._height / 12)), 1.0, -1)
        return np.clip(colours, 0, 255).astype(np.uint8), cv2.GaussianBlur(part, (0, 0), 1.5)

    def _swing(self, pixels: Pixels, at_s: float) -> Pixels:
        assert self._leaves is not None
        texture, part = self._leaves
        gust = 0.5 + 0.5 * math.sin(at_s / 5 + self._phase)
        reach = self._weather.leaves * self._width / 640 * gust
        x = self._xs + reach * np.sin(self._ys / 23 + at_s * 5 + self._phase) * np.cos(self._xs / 31 + at_s * 3)
        y = self._ys + 0.5 * reach * np.sin(self._xs / 19 + at_s * 4)
        leaves = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        cover = cv2.remap(part, x, y, cv2.INTER_LINEAR)[..., None]
        return np.asarray(pixels * (1 - cover) + leaves * cover, np.uint8)

    def _rain(self, shown: NDArray[np.float32]) -> None:
        count = int(self._random.poisson(self._weather.rain))
        streaks = np.zeros((self._height, self._width), np.float32)
        xs, ys = self._random.uniform(0, self._width, count), self._random.uniform(0, self._height, count)
        for x, y, length in zip(xs, ys, self._random.uniform(8, 40, count), strict=True):
            bright = self._random.uniform(8, 40)
            cv2.line(streaks, (int(x), int(y)), (int(x + length / 8), int(y + length)), bright, 1)
        shown += streaks[..., None]

    def _cars_of(self, random: Random) -> list[tuple[float, float, float]]:
        """When the headlights of a car pass, at which height, and how wide they shine."""
        count = random.poisson(self._weather.headlights * 2)
        return [(random.uniform(0, 120), random.uniform(0.5, 0.9), random.uniform(0.05, 0.2)) for _ in range(count)]

    def _beam(self, part: float, y: float, reach: float) -> NDArray[np.float32]:
        x = (part * 1.4 - 0.2) * self._width
        across = (self._xs - x) / (reach * self._width)
        far = across**2 + ((self._ys - y * self._height) / (reach * self._height)) ** 2
        return np.asarray((120 * np.exp(-far))[..., None] * np.array([1, 0.95, 0.8], np.float32), np.float32)
