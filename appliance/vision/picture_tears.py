"""Find a tear: a line across the picture that is not usually there, or a lower part that is moved sideways."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.vision.picture_features import HIGH, WIDE, Grid

_LEVELS, _TIMES = 5.0, 2.5
_LEAST_ROWS = 5
_NEAR = 2
"""Cells: a shift that wind, a nudge or the next object can explain."""
_GAIN, _UPPER_LIKE, _LOWER_LIKE, _BETTER = 0.1, 0.4, 0.5, 0.3


def line(rows: NDArray[np.float32], usual: NDArray[np.float32]) -> bool:
    """Whether a line across the picture appears that is not usually there."""
    if rows.shape != usual.shape or rows.size < 8:
        return False
    inner = slice(2, -2)
    excess = rows[inner] - usual[inner]
    place = int(excess.argmax())
    around = float(np.partition(rows[inner], rows[inner].size // 2)[rows[inner].size // 2])
    return float(excess[place]) > _LEVELS + _TIMES * around


def displaced(edges: Grid, usual: Grid) -> tuple[int, int] | None:
    """Return row and shift (cells) of a part that is the usual one moved sideways, below one in place; None: none.

    Seen also where the line itself crosses sky or grass, in which a tear leaves no trace.
    """
    seen, known = edges - edges.mean(axis=1, keepdims=True), usual - usual.mean(axis=1, keepdims=True)
    size = np.stack((np.square(seen).sum(axis=1), np.square(known).sum(axis=1)))
    whole = float(np.sqrt(np.prod(size.sum(axis=1)))) + 1e-6
    if float(np.vdot(seen, known)) > (1 - _GAIN) * whole:
        return None  # in place; nothing can fit better by so much
    product = cv2.mulSpectrums(
        cv2.dft(seen, flags=cv2.DFT_ROWS), cv2.dft(known, flags=cv2.DFT_ROWS), cv2.DFT_ROWS, conjB=True
    )
    shifted = cv2.idft(product, flags=cv2.DFT_ROWS | cv2.DFT_SCALE)  # of each row: its product with each shift
    below = np.cumsum(shifted[::-1], axis=0)[::-1]
    in_place = below[:, 0].copy()
    above = in_place[0] - in_place
    far = below[:, _NEAR + 1 : WIDE - _NEAR].max(axis=1)
    tried = slice(_LEAST_ROWS, HIGH - _LEAST_ROWS)
    row = _LEAST_ROWS + int((above + far)[tried].argmax())
    upper, lower = (float(np.sqrt(np.prod(part.sum(axis=1)))) + 1e-6 for part in (size[:, :row], size[:, row:]))
    found = bool(
        far[row] - in_place[row] > max(_GAIN * whole, _BETTER * lower)
        and above[row] > _UPPER_LIKE * upper
        and far[row] > _LOWER_LIKE * lower
    )
    return (row, int(below[row, _NEAR + 1 : WIDE - _NEAR].argmax())) if found else None
