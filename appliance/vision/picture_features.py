"""What can be measured of one picture at little cost: light, contrast, sharpness, edges, and lines that tear it.

Everything is computed from the pixels that have been decoded for the network (at most 640 px wide), so no picture is
decoded twice. `flow/picture_watch.py` judges the figures over time.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

WIDE, HIGH = 64, 36
"""Cells of the thumbnail, whatever the picture's shape."""
LEAST_SIDE = 64
"""Smaller pictures cannot be measured, px."""
_HARD = 0.6
_QUANTILE = round(0.55 * WIDE)
_WHITE = 248.0
_GREY = 128
"""A decoder fills what it did not receive with this level."""

Grid = NDArray[np.float32]


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
    detail: float
    """Part of the pixels at a hard edge, 0-1: none in a picture out of focus. NaN: the noise hides it."""
    rows: NDArray[np.float32]
    """For each row: how much all of its width differs from the row above."""
    lost: float
    """Part of the picture at the bottom that the decoder filled with grey, 0-1."""
    sample: NDArray[np.uint8]
    """Every second pixel of the half-size picture, to find identical pictures."""


def measure(pixels: NDArray[np.uint8]) -> PictureFeatures:
    """Measure a picture: (height, width, 3) RGB, at least LEAST_SIDE px each way."""
    grey = cv2.extractChannel(pixels, 1)  # green: most of the brightness, without a conversion
    half = np.asarray(
        cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA), np.uint8
    )
    strips = np.asarray(cv2.resize(half, (WIDE, half.shape[0]), interpolation=cv2.INTER_AREA), np.int16)
    thumb = np.asarray(cv2.resize(strips.astype(np.float32), (WIDE, HIGH), interpolation=cv2.INTER_AREA), np.float32)
    edges = _edges(thumb)
    mean, deviation = cv2.meanStdDev(thumb)
    return PictureFeatures(
        edges=edges,
        mean=float(mean[0, 0]),
        bright=float(np.partition(thumb.ravel(), -thumb.size // 50)[-thumb.size // 50]),
        contrast=float(deviation[0, 0]),
        white=float(np.count_nonzero(thumb >= _WHITE)) / thumb.size,
        energy=float(cv2.mean(edges)[0]),
        detail=_detail(half, thumb),
        rows=_rows(strips),
        lost=_lost(strips),
        sample=half[::2, ::2].copy(),
    )


def likeness(a: Grid, b: Grid) -> float:
    """Correlation of two grids of edges, -1 to 1."""
    x, y = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.vdot(x, x) * np.vdot(y, y)))
    return float(np.vdot(x, y)) / norm if norm > 1e-6 else 0.0


def same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether two samples are of an identical picture, apart from a clock that the camera writes into it."""
    if a.shape != b.shape:
        return False
    changed = a != b
    if not changed.any():
        return True
    if np.count_nonzero(changed) > changed.size // 50:
        return False
    blocks = cv2.resize(changed.astype(np.uint8) * 255, (16, 9), interpolation=cv2.INTER_AREA)
    return int(np.count_nonzero(blocks)) <= 6


def _edges(thumb: Grid) -> Grid:
    """Gradients of the root of the light: what is dark has edges too, and a lamp does not outshine them."""
    root = np.sqrt(cv2.GaussianBlur(thumb, (3, 3), 0) + 4.0)
    edges = cv2.magnitude(cv2.Sobel(root, cv2.CV_32F, 1, 0), cv2.Sobel(root, cv2.CV_32F, 0, 1))
    return np.asarray(edges, np.float32)


def _detail(half: NDArray[np.uint8], thumb: Grid) -> float:
    """Part of the pixels at a hard edge: a step from one to the next like the strong ones between whole cells.

    The measure follows the contrast, so that dusk and fog change it little, and stays above the sensor's noise.
    """
    rows = half[::3]
    steps = cv2.calcHist([cv2.absdiff(rows[:, 1:], rows[:, :-1])], [0], None, [256], [0, 256]).ravel()
    total = rows.shape[0] * (rows.shape[1] - 1)
    median = int(np.searchsorted(np.cumsum(steps), total / 2))
    coarse = np.abs(thumb[:, 1:] - thumb[:, :-1]).ravel()
    strong = float(np.partition(coarse, -coarse.size // 25)[-coarse.size // 25])
    limit = max(_HARD * strong, 5.0)
    if 4.0 * median > limit:
        return float("nan")
    return float(int(steps[int(np.ceil(limit)) :].sum()) / total)


def _rows(strips: NDArray[np.int16]) -> NDArray[np.float32]:
    """A line across the whole picture differs in most segments of its row; an object differs in some."""
    steps = np.abs(strips[2:] - strips[:-2])
    return np.asarray(np.partition(steps, _QUANTILE, axis=1)[:, _QUANTILE], np.float32)


def _lost(strips: NDArray[np.int16]) -> float:
    flat = np.abs(strips - _GREY).max(axis=1) <= 3
    filled = np.flatnonzero(~flat[::-1])
    return float(filled[0] if filled.size else flat.size) / float(flat.size)
