"""Whether a camera's scene has changed since its last inferred frame, told from a tiny picture: pure arithmetic.

Rules of this file:
- The comparison is always with the frame whose answer would be given again, so slow changes add up and are seen.
- Light is not a change: a common gain and offset of each colour are taken out first (clouds, lamps that flicker,
  automatic exposure and white balance).
- Noise is not a change as long as it is less than what makes the network's own answers waver.
- When in doubt it has changed: more noise than that, another size, too much light.

The figures below were measured on photographs; tests/benchmarks/gate.py proves what follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float32]
"""(rows, columns, 3), RGB, 0-255; see vision/thumbnail.py."""

LEAST_STEP = 2.5
"""Levels (of 255) of brightness that a cell must differ to count. Noise that is held stays below 2.2; of 234 faint
objects put into photographs that YOLO11n found, the faintest came to 4.5."""
LEAST_TINT = 6.0
"""The same for the difference between red or blue and green; noise stays below 5.8."""
MOST_NOISE = 0.38
"""Mean difference of the cells' brightness, levels, in a scene that counts as still. In photographs of 1280x720 it is
0.20, 0.29 and 0.36 for sensor noise of 2, 4 and 6 levels, where YOLO11n finds 99.7 % of what it found a frame earlier;
at 8 levels and 0.42 it is 99.2 %. Noise in grains of several pixels disturbs it less, and counts for as much here."""
MOST_NOISE_PART = 0.013
"""The same as a part of the scene's own contrast (deviation of its cells), for dark pictures: with their light at 0.3
and noise of 2, 3 and 5 levels it is 0.012, 0.014 and 0.019, and the network finds 99.7, 99.4 and 98.6 % again."""
MOST_GAIN = 0.2
"""A change of light beyond this part is not explained away; up to it YOLO11n finds 99.8 % again."""


@dataclass(frozen=True, slots=True)
class Change:
    """How two grids differ: `strongest` is the largest step in multiples of its bound (1 and more: changed)."""

    strongest: float
    noise: float


def compare(reference: Cells, now: Cells) -> Change:
    """The change between the cells of two pictures of one camera; `strongest` is inf when they cannot be compared."""
    if reference.shape != now.shape:
        return Change(float("inf"), 0.0)
    difference = np.empty_like(now)
    for colour in range(3):
        gain, offset = _light(reference[..., colour].ravel(), now[..., colour].ravel())
        if abs(gain - 1) > MOST_GAIN or abs(offset) > 255 * MOST_GAIN:
            return Change(float("inf"), 0.0)
        difference[..., colour] = now[..., colour] - _lit(reference[..., colour], gain, offset)
    brightness = np.abs(difference.mean(axis=2))
    noise = float(brightness.mean())
    if noise > min(MOST_NOISE, MOST_NOISE_PART * float(now.mean(axis=2).std())):
        return Change(float("inf"), noise)
    tint = np.abs(difference[..., ::2] - difference[..., 1:2])
    return Change(max(float(brightness.max()) / LEAST_STEP, float(tint.max()) / LEAST_TINT), noise)


def _lit(reference: Cells, gain: float, offset: float) -> Cells:
    lit: Cells = np.clip(reference * np.float32(gain) + np.float32(offset), 0, 255)  # white cannot become whiter
    return lit


def _light(reference: Cells, now: Cells) -> tuple[float, float]:
    """Gain and offset that carry one colour of the reference over: by medians, then by the cells that agree with them.

    The medians do not mind that a part of the scene has changed, but are only as fine as a level; for a start, those of
    every third cell will do.
    """
    gain, offset = _light_of_halves(reference[::3], now[::3])
    agree = np.abs(now - _lit(reference, gain, offset)) < LEAST_TINT
    if 2 * np.count_nonzero(agree) < agree.size:
        return gain, offset
    x, y = reference[agree], now[agree]
    from_mean = x - x.mean()
    spread = float(np.dot(from_mean, from_mean))
    if spread < x.size:
        return gain, offset
    gain = float(np.dot(from_mean, y)) / spread
    return gain, float(y.mean() - gain * x.mean())


def _light_of_halves(reference: Cells, now: Cells) -> tuple[float, float]:
    """From the medians of the reference's darker and brighter half."""
    middle = float(np.median(reference))
    dark = reference <= middle
    if dark.all() or not dark.any():
        return 1.0, float(np.median(now - reference))
    low, high = float(np.median(reference[dark])), float(np.median(reference[~dark]))
    low_now, high_now = float(np.median(now[dark])), float(np.median(now[~dark]))
    if high - low < 8:
        return 1.0, float(np.median(now - reference))
    gain = (high_now - low_now) / (high - low)
    return gain, low_now - gain * low
