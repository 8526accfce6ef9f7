"""The cells that a network without anchors looks from: one grid over the input for each of its strides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from appliance.values import Size
from appliance.vision.heads.output import Floats


def grid_cells(of: Size, strides: Sequence[int]) -> tuple[Floats, Floats]:
    """Of each cell its upper left corner, px (n, 2: x y), and its stride (n,): grid by grid, row by row.

    A grid that does not divide the input reaches over its right and lower edge.
    """
    corners, sides = [], []
    for stride in strides:
        columns, rows = -(-of.width // stride), -(-of.height // stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        corners.append(np.stack((x, y), axis=2).reshape(-1, 2) * stride)
        sides.append(np.full(columns * rows, stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(sides).astype(np.float32)
