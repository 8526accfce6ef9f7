"""The grid cells of an anchor-free network: one grid over the input for each stride."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from appliance.values import Size
from appliance.vision.heads.output import Floats


def grid_cells(size: Size, strides: Sequence[int]) -> tuple[Floats, Floats]:
    """The upper left corner, px (n, 2: x y), and stride (n,) of each cell: grid by grid, row by row.

    A grid that does not divide the input evenly extends beyond its right and lower edge.
    """
    corners, sides = [], []
    for stride in strides:
        columns, rows = -(-size.width // stride), -(-size.height // stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        corners.append(np.stack((x, y), axis=2).reshape(-1, 2) * stride)
        sides.append(np.full(columns * rows, stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(sides).astype(np.float32)
