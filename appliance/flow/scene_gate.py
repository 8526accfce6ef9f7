"""Detect whether a camera's scene has changed since its last inferred frame, from a small thumbnail.

Rules of this file:
- The reference is always the frame whose answer would be repeated, so slow changes add up and are detected.
- A change of light is no change of the scene: a common gain and offset per colour are removed first (clouds, flickering
  lamps, automatic exposure and white balance).
- Noise is no change as long as it is too weak to alter the network's detections.
- In case of doubt the scene has changed: stronger noise, a different size, too large a change of light.

The constants were measured on photographs; tests/benchmarks/gate.py checks the resulting accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.vision.thumbnail import Cells

LEAST_STEP = 2.5
"""Smallest difference in a cell's brightness that counts, levels of 255. Tolerated noise stays below 2.2. Of 234 faint
objects pasted into photographs and detected by YOLO11n, the faintest reached 4.5."""
LEAST_TINT = 6.0
"""The same for the difference of red or blue from green. Tolerated noise stays below 5.8."""
MOST_NOISE = 0.38
"""Largest mean difference of the cells' brightness in a still scene, levels. In 1280x720 photographs it is 0.20, 0.29
and 0.36 for sensor noise of 2, 4 and 6 levels, where YOLO11n repeats 99.7 % of its detections from one frame to the
next; at 8 levels (0.42) it repeats 99.2 %. Coarse noise, with grains of several pixels, affects the network less but
counts the same here."""
MOST_NOISE_PART = 0.013
"""The same limit relative to the scene's contrast (standard deviation of its cells), for dark pictures. At 0.3 of the
light and noise of 2, 3 and 5 levels it is 0.012, 0.014 and 0.019, and the network repeats 99.7, 99.4 and 98.6 %."""
MOST_GAIN = 0.2
"""Largest relative change of light that is compensated; up to it YOLO11n repeats 99.8 % of its detections."""


@dataclass(frozen=True, slots=True)
class Change:
    """Difference of two grids. `strongest`: the largest step as a multiple of its limit; 1 or more means a change."""

    strongest: float
    noise: float


def compare(reference: Cells, now: Cells) -> Change:
    """Compare the cells of two pictures of one camera; `strongest` is inf if they cannot be compared."""
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
    lit: Cells = np.clip(reference * np.float32(gain) + np.float32(offset), 0, 255)  # pixels saturate at white
    return lit


def _light(reference: Cells, now: Cells) -> tuple[float, float]:
    """Fit the gain and offset of one colour: first from medians, then by least squares over the cells that agree.

    The medians are robust against a changed part of the scene but only as precise as one level. Every third cell is
    enough for this first estimate.
    """
    gain, offset = _light_from_halves(reference[::3], now[::3])
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


def _light_from_halves(reference: Cells, now: Cells) -> tuple[float, float]:
    """Estimate the gain and offset from the medians of the reference's darker and brighter halves."""
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


def relit(reference: Cells, now: Cells) -> Cells | None:
    """The reference in the light of another picture of the same camera; None: they cannot be compared."""
    if reference.shape != now.shape:
        return None
    lit = np.empty_like(now)
    for colour in range(3):
        gain, offset = _light(reference[..., colour].ravel(), now[..., colour].ravel())
        if abs(gain - 1) > MOST_GAIN or abs(offset) > 255 * MOST_GAIN:
            return None
        lit[..., colour] = _lit(reference[..., colour], gain, offset)
    return lit
