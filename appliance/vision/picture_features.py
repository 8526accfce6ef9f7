"""What can be measured of one picture at little cost: light, contrast, sharpness, edges, and what is lost of it.

Everything is computed from the pixels that have been decoded for the network (at most 640 px wide), so no picture is
decoded twice. `flow/picture_watch.py` judges the figures over time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

WIDE, HIGH = 64, 36
"""Cells of the thumbnail, whatever the picture's shape."""
LEAST_SIDE = 64
"""Smaller pictures cannot be measured, px."""
_LEAST_SPAN, _SPAN_TIMES = 16.0, 4.0
_NEAR = np.ones((3, 3), np.uint8)
_WHITE = 248.0
_GREY = 128
"""A decoder fills what it did not receive with this level."""
_MARKS_WIDE, _MARKS_HIGH, _COARSE = 32, 18, 2
_MOST_CHANGED, _MOST_COARSE = 11, 6
"""A clock changes a fiftieth of the blocks at most, and few of those that are twice as wide and high."""

Grid = NDArray[np.float32]
Marks = NDArray[np.uint16]
"""(18, 32): a checksum of each block."""


@dataclass(frozen=True, slots=True)
class PictureFeatures:
    """Figures of one picture. Light is in levels of 255."""

    edges: Grid
    """(HIGH, WIDE): strength of the edges, nearly independent of exposure."""
    mean: float
    bright: float
    """The 98th percentile."""
    contrast: float
    """Standard deviation."""
    white: float
    """Part of the cells that are overexposed, 0-1."""
    energy: float
    """Mean strength of the edges."""
    sharp: Grid
    """(HIGH, WIDE): the hardest step from one pixel to the next, as a part of the light's range around it, 0-1.
    NaN: the range is too small, or hidden by noise."""
    lost: float
    """Part of the picture at the bottom that the decoder filled with grey, 0-1."""
    marks: Marks
    """To find identical pictures."""


def measure(pixels: NDArray[np.uint8]) -> PictureFeatures:
    """Measure a picture: (height, width, 3) RGB, at least LEAST_SIDE px each way."""
    grey = cv2.extractChannel(pixels, 1)  # green: most of the brightness, without a conversion
    half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    lines = np.asarray(half, np.uint8)[::2]  # every second row shows as much, at half the cost
    strips = np.asarray(cv2.resize(lines, (WIDE, lines.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
    thumb = np.asarray(cv2.resize(strips, (WIDE, HIGH), interpolation=cv2.INTER_AREA), np.float32)
    edges = _edges(thumb)
    mean, deviation = cv2.meanStdDev(thumb)
    return PictureFeatures(
        edges=edges,
        mean=float(mean[0, 0]),
        bright=float(np.partition(thumb.ravel(), -thumb.size // 50)[-thumb.size // 50]),
        contrast=float(deviation[0, 0]),
        white=float(np.count_nonzero(thumb >= _WHITE)) / thumb.size,
        energy=float(cv2.mean(edges)[0]),
        sharp=_sharp(lines, thumb),
        lost=_lost(strips),
        marks=_marks(lines[:, ::2]),
    )


def likeness(a: Grid, b: Grid) -> float:
    """Correlation of two grids of edges, -1 to 1."""
    x, y = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.vdot(x, x) * np.vdot(y, y)))
    return float(np.vdot(x, y)) / norm if norm > 1e-6 else 0.0


def in_place(seen: Grid, usual: Grid) -> float:
    """Part of the view that is where it usually is, 0-1: of the blocks that usually have edges, those that are alike.

    A lorry that parks in the view changes some blocks; a camera that is turned changes nearly all of them.
    """
    a, b = _blocks(seen), _blocks(usual)
    products = (a * b).sum(axis=1)
    sizes, usual_sizes = np.sqrt((a * a).sum(axis=1)), np.sqrt((b * b).sum(axis=1))
    judged = usual_sizes > 0.5 * np.median(usual_sizes)
    alike = judged & (products > 0.5 * sizes * usual_sizes)
    return float(np.count_nonzero(alike)) / max(1, int(np.count_nonzero(judged)))


def _blocks(edges: Grid) -> Grid:
    """(32, 72): the cells of each block, less their mean."""
    high, wide = 9, 8
    cells = edges.reshape(HIGH // high, high, WIDE // wide, wide).transpose(0, 2, 1, 3).reshape(-1, high * wide)
    return np.asarray(cells - cells.mean(axis=1, keepdims=True), np.float32)


def same(a: Marks, b: Marks) -> bool:
    """Whether two pictures are identical, apart from a clock that the camera writes into them."""
    changed = a != b
    if np.count_nonzero(changed) > _MOST_CHANGED:
        return False
    coarse = changed.reshape(_MARKS_HIGH // _COARSE, _COARSE, _MARKS_WIDE // _COARSE, _COARSE).any(axis=(1, 3))
    return int(np.count_nonzero(coarse)) <= _MOST_COARSE


def _marks(pixels: NDArray[np.uint8]) -> Marks:
    """Sum up each block modulo 2**16, each pixel with a factor of its own: nearly every change changes a sum."""
    weighted = np.multiply(pixels, _factors(pixels.shape), dtype=np.uint16)
    for axis, parts in enumerate((_MARKS_HIGH, _MARKS_WIDE)):
        firsts = np.arange(parts) * pixels.shape[axis] // parts
        weighted = np.add.reduceat(weighted, firsts, axis=axis, dtype=np.uint16)
    return weighted


@lru_cache(maxsize=16)
def _factors(shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Odd ones, so that no change of one pixel is lost."""
    return np.random.default_rng(1).integers(0, 1 << 16, shape, np.uint16) | np.uint16(1)


def _edges(thumb: Grid) -> Grid:
    """Gradients of the root of the light: what is dark has edges too, and a lamp does not outshine them."""
    root = np.sqrt(cv2.GaussianBlur(thumb, (3, 3), 0) + 4.0)
    edges = cv2.magnitude(cv2.Sobel(root, cv2.CV_32F, 1, 0), cv2.Sobel(root, cv2.CV_32F, 0, 1))
    return np.asarray(edges, np.float32)


def _sharp(lines: NDArray[np.uint8], thumb: Grid) -> Grid:
    """Compare the hardest step in each cell with the range of light around it: contrast and fog change this little.

    Twice the usual step, which is noise or fine texture, is no edge.
    """
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    counts = np.cumsum(cv2.calcHist([steps[::2]], [0], None, [256], [0, 256]).ravel())
    noise = float(np.searchsorted(counts, counts[-1] / 2))
    span = cv2.subtract(cv2.dilate(thumb, _NEAR), cv2.erode(thumb, _NEAR))
    cell = np.ones((-(-lines.shape[0] // HIGH) + 1, -(-lines.shape[1] // WIDE) + 2), np.uint8)
    hardest = cv2.resize(cv2.dilate(steps, cell), (WIDE, HIGH), interpolation=cv2.INTER_NEAREST)
    sharp = cv2.divide(cv2.subtract(hardest, 2 * noise, dtype=cv2.CV_32F), span)
    sharp[span < max(_LEAST_SPAN, _SPAN_TIMES * noise)] = np.nan
    return np.asarray(sharp, np.float32)


def _lost(strips: NDArray[np.uint8]) -> float:
    if not _is_lost(strips[-1:])[0]:
        return 0.0
    filled = np.flatnonzero(~_is_lost(strips)[::-1])
    return float(filled[0] if filled.size else strips.shape[0]) / float(strips.shape[0])


def _is_lost(strips: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows are filled."""
    return np.asarray(np.abs(strips.astype(np.int16) - _GREY).max(axis=1) <= 3, np.bool_)
