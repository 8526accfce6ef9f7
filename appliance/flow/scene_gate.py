"""Whether a camera's scene has changed since its last inferred frame, told from a tiny grey image: pure arithmetic.

Rules of this file:
- The comparison is always with the frame whose answer would be given again, so slow changes add up and are seen.
- Light is not a change: a common gain and offset are taken out first (clouds, lamps that flicker, automatic exposure).
- Noise is not a change: the bound grows with the noise that the picture itself shows, where most of it is still.
- When in doubt it has changed: more noise than was there when the answer was made, another size, too much light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float32]

LEAST_STEP = 3.0
"""Brightness levels (of 255) that a cell must differ to count, however clean the picture is."""
SIGMAS = 6.0
"""... and as many deviations of the picture's own noise."""
MOST_NOISE = 2.5
"""Median difference, levels, above which the picture is not still but moving as a whole."""
MOST_GAIN = 0.25
"""A change of light beyond this part is not explained away."""


@dataclass(frozen=True, slots=True)
class Change:
    """How two grids differ: `strongest` is the largest step in multiples of the bound (1 and more: changed)."""

    strongest: float
    noise: float


def compare(reference: Cells, now: Cells) -> Change:
    """The change between the cells of two pictures of one camera; `strongest` is inf when they cannot be compared."""
    if reference.shape != now.shape:
        return Change(float("inf"), 0.0)
    gain, offset = _light(reference, now)
    if abs(gain - 1) > MOST_GAIN or abs(offset) > 255 * MOST_GAIN:
        return Change(float("inf"), 0.0)
    expected = np.clip(reference * np.float32(gain) + np.float32(offset), 0, 255)  # white cannot become whiter
    difference = np.abs(now - expected)
    noise = float(np.median(difference))
    if noise > MOST_NOISE:
        return Change(float("inf"), noise)
    bound = max(LEAST_STEP, SIGMAS * 1.4826 * noise)
    return Change(float(difference.max()) / bound, noise)


def _light(reference: Cells, now: Cells) -> tuple[float, float]:
    """Gain and offset that carry the reference's light over, from medians of its darker and brighter half."""
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
