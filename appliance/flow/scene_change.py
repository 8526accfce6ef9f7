"""Measure how much a camera's scene has changed between two thumbnails, relative to how much it changes by itself.

Rules of this file:
- The reference is always the frame whose answer would be repeated, so slow changes add up and are detected.
- A change of light is no change of the scene: a common gain and offset for each colour, and a gain for each row (lamps
  on mains seen by a rolling shutter), are removed first.
- What a cell does all the time is no change: sensor noise, compression, leaves, rain. It is learned for each cell, and
  never from a place where a detected object came, moved or left.
- Nor is what keeps changing a few cells while inference finds nothing new there: the clock in the picture, a lamp.
- In case of doubt the scene has changed: a different size, too large a change of light.

The constants were chosen on sequences drawn at random; tests/benchmarks/gate.py checks them on others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Size
from appliance.vision.thumbnail import Cells

CellMask = NDArray[np.bool_]
"""(rows, columns): some of the cells."""
Steps = NDArray[np.float32]
"""(rows, columns, 3): brightness, red against green, blue against green; absolute differences, levels of 255."""

_LEAST_STEPS = np.array([2.5, 6.0, 6.0], np.float32)
"""Smallest steps that count. Of 234 faint objects pasted into photographs and detected by YOLO11n, the faintest reached
4.5 in brightness."""
_MOST_STEP = 45.0
"""A step this large counts in any cell."""
_TIMES_USUAL = 9.0
"""A step counts if it is this many times the usual one. Of normal noise one cell in 10**12 exceeds 9 times the mean."""
_FIRST_USUAL = 0.4
"""Before anything is known: noise of 6 levels in photographs of 1280x720."""
_LONE = 2.0
"""A single cell counts from twice its step on: an object of 24 px of the input covers two cells or more in a row."""
_MOST_GAIN = 0.2
"""Largest relative change of light that is compensated; up to it YOLO11n repeats 99.8 % of its detections."""
_MOST_ROW_GAIN = 0.1
_FOLLOW = 1 / 50
"""Part of the usual step that one frame may change."""
_RESTLESS, _MOST_RESTLESS = 2.5, 0.3
"""A scene in which more than this part of the cells usually changes by more than so many levels is never still."""
_MOST_ALARMED = 0.01
"""A clock changes no more than this part of the cells; a car's headlights and a small object's way do."""
_FROM_ALARM, _MARGIN, _FORGET = 1 / 3, 1.3, 1 / 1000
"""How quickly a false alarm raises what counts in its cells, to this multiple of its step, and how quickly it falls."""
_ANOTHER_VIEW = 3.0
"""Above this median strength the camera has turned: nothing is learned from that."""
_DARK = np.float32(8.0)
_AGREE = 6.0
"""Cells that differ by less agree on the change of light, levels."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The mean step of each cell while nothing happens, from `frames` frames; `alarms`: what false alarms reached."""

    steps: Steps
    alarms: Steps
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Difference of two grids. `strongest`: the largest step as a multiple of what counts; inf: not comparable.

    `steps`, `strength`: of each cell; None: not comparable.
    """

    strongest: float
    steps: Steps | None = None
    strength: NDArray[np.float32] | None = None

    def in_place(self, box_px: Box, size: Size, least: float) -> bool:
        """Whether the scene has changed by `least` where a box is; `size`: of the picture. True if not comparable."""
        if self.strength is None:
            return True
        return bool(self.strength[_window(box_px, size, self.strength.shape)].max(initial=0.0) >= least)


def nothing_known(cells: Cells) -> Usual:
    """What is usual before the first comparison."""
    return _nothing_known(cells.shape)


@lru_cache(maxsize=64)
def _nothing_known(shape: tuple[int, ...]) -> Usual:
    """The same for all cameras: each of these grids takes up to 43 kB."""
    known = Usual(np.full(shape, _FIRST_USUAL, np.float32), np.zeros(shape, np.float32))
    known.steps.setflags(write=False)
    known.alarms.setflags(write=False)
    return known


def compare(reference: Cells, now: Cells, usual: Usual | None = None, covered: CellMask | None = None) -> Change:
    """Compare the cells of two pictures of one camera. `covered`: cells behind masks."""
    if reference.shape != now.shape:
        return Change(float("inf"))
    steps = _steps(reference, now, covered)
    if steps is None:
        return Change(float("inf"))
    if usual is None or usual.steps.shape != now.shape:
        usual = nothing_known(now)
    typical = np.median(usual.steps.reshape(-1, 3)[::3], axis=0)
    counts = np.clip(np.maximum(usual.steps, typical) * np.float32(_TIMES_USUAL), _LEAST_STEPS, np.float32(_MOST_STEP))
    relative = (steps / np.maximum(counts, usual.alarms)).max(axis=2)
    strength = cv2.boxFilter(relative, -1, (2, 2), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    strength = np.maximum(strength, relative / np.float32(_LONE), dtype=np.float32)
    restless = np.mean(usual.steps[..., 0] > _RESTLESS) > _MOST_RESTLESS
    return Change(float("inf") if restless else float(strength.max()), steps, strength)


def follow(
    usual: Usual, change: Change, moved_px: Iterable[Box] = (), size: Size | None = None, *, alarm: float | None = None
) -> Usual:
    """Learn from one comparison. `moved_px`: where objects came, moved or left; nothing is learned there.

    `alarm`: the strength of change above which the scene was inferred; None: it was not inferred because of a change.
    """
    if change.steps is None or change.strength is None or change.steps.shape != usual.steps.shape:
        return usual
    if np.median(change.strength) > _ANOTHER_VIEW:
        return usual
    part = np.float32(max(_FOLLOW, 1 / (usual.frames + 6)))
    limited = np.minimum(change.steps, 4 * usual.steps + np.float32(0.5))  # one headlight is not usual
    steps = usual.steps + part * (limited - usual.steps)
    alarms = usual.alarms
    if alarms.any():
        alarms = np.asarray(alarms * np.float32(1 - _FORGET), np.float32)
    if alarm is not None:
        alarms = _alarmed(alarms, change.steps, change.strength >= alarm)
    for box in moved_px:
        if size is not None:
            window = _window(box, size, steps.shape)
            steps[window] = usual.steps[window]
            if alarms is not usual.alarms:
                alarms[window] = usual.alarms[window]
    return Usual(steps, alarms, usual.frames + 1)


def _alarmed(alarms: Steps, steps: Steps, where: CellMask) -> Steps:
    """Raise what counts in the cells that caused a false alarm, if they are few."""
    if not 0 < np.count_nonzero(where) <= _MOST_ALARMED * where.size:
        return alarms
    cells = cv2.dilate(where.astype(np.uint8), np.ones((2, 2), np.uint8), anchor=(1, 1)).astype(bool)
    reached = np.where(cells[..., None], steps * np.float32(_MARGIN), np.float32(0))
    return np.asarray(alarms + np.float32(_FROM_ALARM) * np.maximum(reached - alarms, 0), np.float32)


def _window(box: Box, size: Size, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The cells of a box, and one more on each side."""
    across, down = shape[1] / size.width, shape[0] / size.height
    return (
        slice(max(0, int(box.y1 * down) - 1), max(0, int(box.y2 * down) + 2)),
        slice(max(0, int(box.x1 * across) - 1), max(0, int(box.x2 * across) + 2)),
    )


def _steps(reference: Cells, now: Cells, covered: CellMask | None) -> Steps | None:
    difference, open_cells = np.empty_like(now), None if covered is None else ~covered
    for colour in range(3):
        before, after = reference[..., colour], now[..., colour]
        if open_cells is None:
            gain, offset = _light(before.ravel(), after.ravel())
        else:
            gain, offset = _light(before[open_cells], after[open_cells])
        if abs(gain - 1) > _MOST_GAIN or abs(offset) > 255 * _MOST_GAIN:
            return None
        difference[..., colour] = after - _lit(before, gain, offset)
    if covered is not None:
        difference[covered] = 0
    by_row = np.median(difference.mean(axis=2) / (reference.mean(axis=2) + _DARK), axis=1)
    difference -= np.clip(by_row, -_MOST_ROW_GAIN, _MOST_ROW_GAIN)[:, None, None] * (reference + _DARK)
    if covered is not None:
        difference[covered] = 0
    steps: Steps = np.empty_like(difference)
    steps[..., 0] = difference.mean(axis=2)
    steps[..., 1:] = difference[..., ::2] - difference[..., 1:2]
    return np.abs(steps, out=steps)


def _lit(reference: Cells, gain: float, offset: float) -> Cells:
    lit: Cells = np.clip(reference * np.float32(gain) + np.float32(offset), 0, 255)  # pixels saturate at white
    return lit


def _light(reference: Cells, now: Cells) -> tuple[float, float]:
    """Fit the gain and offset of one colour: first from medians, then by least squares over the cells that agree.

    The medians are robust against a changed part of the scene but only as precise as one level. Every third cell is
    enough for this first estimate.
    """
    gain, offset = _light_from_halves(reference[::3], now[::3])
    agree = np.abs(now - _lit(reference, gain, offset)) < _AGREE
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
        if abs(gain - 1) > _MOST_GAIN or abs(offset) > 255 * _MOST_GAIN:
            return None
        lit[..., colour] = _lit(reference[..., colour], gain, offset)
    return lit
