"""Staged pictures of a camera: drawn scenes in changing light and weather, and what can happen to a camera.

Everything is drawn from a seed. A scene is a function of nothing but the seed; a stage adds what moves, the light, the
sensor's noise and JPEG.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Light = NDArray[np.float32]
T = TypeVar("T", np.uint8, np.float32)

WIDTH, HEIGHT = 640, 360
KINDS = ("street", "yard", "room", "park", "texture")


def scene(seed: int) -> Light:
    """A drawn scene larger than the picture, so that a camera can be turned in it: (720, 1280, 3), 0-255."""
    random = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    high, wide = 2 * HEIGHT, 2 * WIDTH
    image = np.empty((high, wide, 3), np.float32)
    horizon = int(high * random.uniform(0.3, 0.55))
    image[:horizon] = random.uniform(120, 230, 3)
    image[horizon:] = random.uniform(60, 140, 3)
    if kind in ("park", "texture", "yard"):
        image[horizon if kind != "texture" else 0 :] += _clouds(random, high, wide)[
            horizon if kind != "texture" else 0 :
        ]
    shapes = {"street": 60, "yard": 35, "room": 45, "park": 25, "texture": 12}[kind]
    for _ in range(shapes):
        x, y = int(random.uniform(0, wide)), int(random.uniform(horizon * 0.5, high))
        w, h = int(random.uniform(15, 160)), int(random.uniform(15, 130))
        colour = tuple(float(value) for value in random.uniform(20, 235, 3))
        if kind == "park":
            cv2.ellipse(image, (x, y), (w // 2, h // 2), 0, 0, 360, colour, -1)
        else:
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1)
            for n in range(3):
                inner = (x + 4 + n * w // 4, y + h // 5)
                cv2.rectangle(image, inner, (inner[0] + w // 7, inner[1] + h // 4), tuple(c * 0.6 for c in colour), -1)
    image += random.normal(0, 5, (high, wide, 1)).astype(np.float32)  # texture of the surfaces
    return np.asarray(cv2.GaussianBlur(np.clip(image, 0, 255), (0, 0), 0.7), np.float32)


def _clouds(random: np.random.Generator, high: int, wide: int) -> Light:
    total = np.zeros((high, wide), np.float32)
    for scale in (6, 16, 45, 120):
        grain = random.normal(0, 1, (scale, scale * 2)).astype(np.float32)
        total += cv2.resize(grain, (wide, high), interpolation=cv2.INTER_CUBIC) * (26 / math.sqrt(scale / 6))
    return total[..., None]


def window(large: NDArray[T], x: float = 0.5, y: float = 0.5) -> NDArray[T]:
    """The part of a scene that the camera sees."""
    left, top = int((large.shape[1] - WIDTH) * x), int((large.shape[0] - HEIGHT) * y)
    return large[top : top + HEIGHT, left : left + WIDTH]


@dataclass
class Camera:
    """A camera in front of a scene. `shot` takes a picture."""

    seed: int
    base: Light | None = None
    noise: float = 2.0
    quality: int = 80
    x: float = 0.5
    y: float = 0.5

    def __post_init__(self) -> None:
        self.large = scene(self.seed) if self.base is None else self.base
        self.random = np.random.default_rng(self.seed + 10_000)
        self._field = self.random.standard_normal((HEIGHT + 64, WIDTH + 64, 1), np.float32)
        self._movers = [(self.random.uniform(0, 1), self.random.uniform(0.4, 0.95), self.random.uniform(-0.05, 0.05),
                         self.random.uniform(12, 60)) for _ in range(3)]  # fmt: skip

    def light(self, at_s: float, gain: float = 1.0) -> Light:
        """The light on the sensor, with what moves in the scene."""
        seen = window(self.large, self.x, self.y) * np.float32(gain)
        for x, y, speed, size in self._movers:
            place = ((x + speed * at_s) % 1.4 - 0.2) * WIDTH
            left, top = int(place), int(y * HEIGHT - size)
            cv2.rectangle(
                seen, (left, top), (left + int(size * 0.8), top + int(size)), (40 * gain, 45 * gain, 90 * gain), -1
            )
        return seen

    def sensor(self, light: Light, noise: float | None = None) -> Pixels:
        """Noise, rounding and JPEG."""
        y, x = self.random.integers(0, 64, 2)
        grain = self._field[y : y + HEIGHT, x : x + WIDTH] * np.float32(self.noise if noise is None else noise)
        pixels = np.clip(light + grain + 0.5, 0, 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, self.quality))
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    def shot(self, at_s: float, gain: float = 1.0) -> Pixels:
        return self.sensor(self.light(at_s, gain))


Fault = Callable[[Camera, float, np.random.Generator], Pixels]
"""A picture that shows a fault, `at_s` seconds after it began."""


def _dark_cover(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """A hand or a cloth on the lens: dim, soft, without a view."""
    light = np.full((HEIGHT, WIDTH, 3), 38, np.float32)
    light[..., 2] += np.linspace(0, 40, WIDTH, dtype=np.float32)
    return camera.sensor(light)


def _pale_cover(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """A plastic bag: bright and diffuse, with a shade of the view."""
    view = cv2.GaussianBlur(camera.light(at_s), (0, 0), 70)
    return camera.sensor(view * np.float32(0.4) + np.float32(110))


def _paint(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """Spray paint: one colour with soft blobs, a corner left free."""
    light = np.empty((HEIGHT, WIDTH, 3), np.float32)
    light[:] = (60, 40, 110)
    light += cv2.resize(_clouds(np.random.default_rng(camera.seed), 36, 64)[..., 0], (WIDTH, HEIGHT))[..., None] * 0.25
    seen = camera.light(at_s)
    light[:70, :110] = seen[:70, :110]
    return camera.sensor(light)


def _turned(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    camera.x, camera.y = (0.02, 0.1) if camera.seed % 2 else (0.98, 0.8)
    return camera.shot(at_s)


def _nudged(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """Knocked: the view is moved by a fifth of its width and tilted."""
    camera.x = 0.5 + 0.2
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 8, 1.1)
    return camera.sensor(cv2.warpAffine(camera.light(at_s), turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))


def _blurred(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    return camera.sensor(cv2.GaussianBlur(camera.light(at_s), (0, 0), 4.0 + camera.seed % 4))


def _dark(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    return camera.shot(at_s, 0.015)


def _white(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """So much light that seven tenths of the picture are white, also in a dark scene."""
    light = camera.light(at_s) * np.float32(1.5)
    return camera.sensor(light + np.float32(max(150.0, 255.0 - float(np.quantile(light[::8, ::8, 1], 0.3)))))


class _Frozen:
    def __init__(self) -> None:
        self._last: dict[int, Pixels] = {}

    def __call__(self, camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
        """The same picture again, with a running clock in half of the cameras."""
        if at_s == 0:
            self._last[camera.seed] = camera.shot(at_s)
        pixels = self._last[camera.seed].copy()
        if camera.seed % 2:
            cv2.putText(pixels, f"{at_s:08.1f}", (10, 24), cv2.FONT_HERSHEY_PLAIN, 1.2, (255, 255, 255), 1)
        return pixels


def _rolling(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    return np.roll(camera.shot(at_s), int(30 + 47 * at_s * 2) % HEIGHT, axis=0)


def _torn(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """Below a line that wanders, the picture is moved sideways."""
    pixels = camera.shot(at_s)
    row = int(random.uniform(0.2, 0.8) * HEIGHT)
    pixels[row:] = np.roll(pixels[row:], int(random.uniform(60, 250)), axis=1)
    return pixels


def _grey(camera: Camera, at_s: float, random: np.random.Generator) -> Pixels:
    """Packets are lost: the decoder fills the rest with grey."""
    pixels = camera.shot(at_s)
    pixels[int(random.uniform(0.3, 0.8) * HEIGHT) :] = 128
    return pixels


FAULTS: dict[str, tuple[frozenset[str], Fault]] = {
    "covered, dark": (frozenset({"covered", "dark"}), _dark_cover),
    "covered, pale": (frozenset({"covered"}), _pale_cover),
    "covered, paint": (frozenset({"covered"}), _paint),
    "turned": (frozenset({"turned"}), _turned),
    "turned, knocked": (frozenset({"turned"}), _nudged),
    "out of focus": (frozenset({"blurred"}), _blurred),
    "too dark": (frozenset({"dark"}), _dark),
    "overexposed": (frozenset({"overexposed"}), _white),
    "frozen": (frozenset({"frozen"}), _Frozen()),
    "rolling": (frozenset({"torn"}), _rolling),
    "torn": (frozenset({"torn"}), _torn),
    "torn, grey": (frozenset({"torn"}), _grey),
}


def day_and_night(
    camera: Camera, step_s: float, day_s: float, random: np.random.Generator
) -> Iterator[tuple[float, Pixels]]:
    """One day and night in `day_s` seconds: sun, clouds, rain, fog, a parked lorry, headlights, infrared at night."""
    rain = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    for _ in range(160):
        x, y = int(random.integers(0, WIDTH)), int(random.integers(0, HEIGHT))
        cv2.line(rain, (x, y), (x + 3, y + 22), 30, 1)
    near = np.exp(-(((np.arange(WIDTH) - WIDTH / 2) / 300) ** 2))[None, :, None].astype(np.float32)
    near = near * np.linspace(0.25, 1.0, HEIGHT, dtype=np.float32)[:, None, None]
    lorry = (int(random.integers(0, WIDTH - 270)), int(random.integers(60, HEIGHT - 190)))
    at_s, headlights_until_s = 0.0, -1.0
    while at_s < day_s:
        part = at_s / day_s
        sun = min(1.0, max(0.0, 0.5 + 1.6 * math.sin(2 * math.pi * part)))
        gain = 0.16 + 0.84 * sun
        infrared = sun < 0.05 and camera.seed % 3 != 0
        noise = camera.noise * (1 + 2.0 * (1 - sun))
        if 0.12 < part < 0.2:  # clouds
            gain *= 0.75 + 0.25 * math.sin(at_s / 4)
        light = camera.light(at_s, gain)
        if infrared:
            grey = camera.light(at_s, 1.0).mean(axis=2, keepdims=True)
            light = np.repeat(np.clip(grey * near * 1.2, 0, 255), 3, axis=2)
            noise = camera.noise * 2
        if 0.22 < part < 0.32:  # rain: streaks at other places each time
            shift = tuple(int(value) for value in random.integers(0, 300, 2))
            light = light * np.float32(0.85) + np.roll(rain, shift, (0, 1))
        if 0.34 < part < 0.42:  # fog comes and goes
            thick = np.float32(0.65 * math.sin(math.pi * (part - 0.34) / 0.08))
            light = light * (1 - thick) + np.float32(150) * thick
        if 0.05 < part < 0.11 or 0.6 < part < 0.7:  # a lorry parks in the view
            cv2.rectangle(light, lorry, (lorry[0] + 270, lorry[1] + 190), (170 * gain, 175 * gain, 180 * gain), -1)
            cv2.rectangle(light, lorry, (lorry[0] + 60, lorry[1] + 150), (60 * gain, 50 * gain, 45 * gain), -1)
        if random.random() < 0.01:
            headlights_until_s = at_s + random.uniform(1, 4)
        if at_s < headlights_until_s:
            glow = np.exp(-(((np.arange(WIDTH) - 200 - 60 * (headlights_until_s - at_s)) / 90) ** 2))
            light = light + (glow[None, :, None] * 230).astype(np.float32)
        yield at_s, camera.sensor(light, noise)
        at_s += step_s
