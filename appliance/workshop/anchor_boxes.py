"""The ending of networks that tell offsets from anchors: the arithmetic that makes boxes of them, put into the graph.

What comes of it is what the head `anchors` reads, and no more: doubles are suppressed by the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.workshop.coco import NOT_USED

Anchors = NDArray[np.float32]
"""Centre and extent, input px, (n, 4: x y width height)."""


def with_boxes(
    model: Any, offsets: Any, scores: Any, anchors: Anchors, *, finer: Sequence[float] = (1.0, 1.0), first: int
) -> Any:
    """The network with one output, (1, 4 + 80, n): boxes by centre and extent, px, and a confidence for each class.

    `offsets` (1, n, 4): y, x, height, width. A centre is an offset in extents of its anchor, an extent the power of
    one; both were trained `finer` (centre, extent) than that. `scores` (1, n, …): of COCO's categories, number `first`
    before all others.
    """
    import openvino
    from openvino import opset13 as ops

    at = anchors[None]
    y, x, height, width = ops.split(offsets, 2, 4).outputs()
    of_centre, of_extent = (np.float32(1 / one) for one in finer)
    centre = [
        ops.add(ops.multiply(part, at[..., 2 + axis, None] * of_centre), at[..., axis, None])
        for axis, part in enumerate((x, y))
    ]
    extent = [
        ops.multiply(ops.exp(ops.multiply(part, of_extent)), at[..., 2 + axis, None])
        for axis, part in enumerate((width, height))
    ]
    used = np.array([number - first for number in range(1, 91) if number not in NOT_USED], np.int64)
    rows = ops.concat([*centre, *extent, ops.gather(scores, used, 2)], 2)
    return openvino.Model([ops.transpose(rows, [0, 2, 1])], model.get_parameters(), model.get_friendly_name())
