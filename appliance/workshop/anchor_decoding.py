"""Add box decoding to the graph of a network that outputs offsets from anchors.

The result is the format of the head `anchors`; its reader suppresses duplicates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.workshop.coco import UNUSED_CATEGORIES

Anchors = NDArray[np.float32]
"""Centre and size in input px, (n, 4: x y width height)."""


def with_decoded_boxes(
    model: Any,
    offsets: Any,
    scores: Any,
    anchors: Anchors,
    *,
    scale_factors: tuple[float, float] = (1.0, 1.0),
    first_category: int,
) -> Any:
    """The network with one output, (1, 4 + 80, n): boxes as centre and size, px, then a confidence for each class.

    `offsets` (1, n, 4): y, x, height, width. The offset of a centre is relative to the size of its anchor, that of a
    size is a logarithm. `scale_factors`: by how much training scaled the offsets of centres and of sizes. `scores`
    (1, n, …): confidences for COCO's category numbers, starting with `first_category`.
    """
    import openvino
    from openvino import opset13 as ops

    anchor = anchors[None]
    y, x, height, width = ops.split(offsets, 2, 4).outputs()
    centre_scale, size_scale = (np.float32(1 / factor) for factor in scale_factors)
    centres = [
        ops.add(ops.multiply(part, anchor[..., 2 + axis, None] * centre_scale), anchor[..., axis, None])
        for axis, part in enumerate((x, y))
    ]
    sizes = [
        ops.multiply(ops.exp(ops.multiply(part, size_scale)), anchor[..., 2 + axis, None])
        for axis, part in enumerate((width, height))
    ]
    categories = np.array(
        [number - first_category for number in range(1, 91) if number not in UNUSED_CATEGORIES], np.int64
    )
    rows = ops.concat([*centres, *sizes, ops.gather(scores, categories, 2)], 2)
    return openvino.Model([ops.transpose(rows, [0, 2, 1])], model.get_parameters(), model.get_friendly_name())
