"""Find a tear: the picture fits the usual view only after its lower part is moved sideways, or all of it up or down.

The line itself is not looked for. It leaves no trace in sky or grass, and shadows, fences and rain have lines too.
"""

from __future__ import annotations

import cv2
import numpy as np

from appliance.vision.picture_features import HIGH, WIDE, Grid

_LEAST_ROWS = 5
_NEAR = 2
"""Cells: a shift that wind, a nudge or the next object can explain."""
_GAIN, _UPPER_LIKE, _LOWER_LIKE, _BETTER = 0.1, 0.4, 0.5, 0.3
_ROLLED_LIKE, _ROLLED_BETTER = 0.4, 0.25
_UP = (np.arange(HIGH)[:, None] + np.arange(HIGH)) % HIGH
"""For each way to roll the picture, the row in which each row of the usual view would be."""


def displaced(edges: Grid, usual: Grid) -> tuple[int, int] | None:
    """Return row and shift (cells) of a part that is the usual one moved sideways, below one in place; None: none."""
    seen, known = edges - edges.mean(axis=1, keepdims=True), usual - usual.mean(axis=1, keepdims=True)
    whole = _size(seen, known)
    if np.vdot(seen, known) > (1 - _GAIN) * whole:
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
    upper, lower = _size(seen[:row], known[:row]), _size(seen[row:], known[row:])
    found = bool(
        far[row] - in_place[row] > max(_GAIN * whole, _BETTER * lower)
        and above[row] > _UPPER_LIKE * upper
        and far[row] > _LOWER_LIKE * lower
    )
    return (row, int(below[row, _NEAR + 1 : WIDE - _NEAR].argmax())) if found else None


def rolled(edges: Grid, usual: Grid) -> int | None:
    """Return by how many cells the usual view is moved down, what falls out coming in at the top; None: it is not."""
    seen, known = edges - edges.mean(), usual - usual.mean()
    whole = _size(seen, known)
    if np.vdot(seen, known) > (1 - _ROLLED_BETTER) * whole:
        return None
    products = seen @ known.T  # of each row with each other
    fits = products[_UP, np.arange(HIGH)].sum(axis=1) / whole
    down = _NEAR + 1 + int(fits[_NEAR + 1 : HIGH - _NEAR].argmax())
    return down if fits[down] > max(_ROLLED_LIKE, fits[0] + _ROLLED_BETTER) else None


def _size(seen: Grid, known: Grid) -> float:
    """The most that the product of these two could be; never 0."""
    return float(np.sqrt(np.vdot(seen, seen) * np.vdot(known, known))) + 1e-6
