"""What stands in front of a network that wants its pictures in other levels than ours.

Every bundle's network takes RGB from 0 to 1, its colours apart, so that engines need not know of any other way. What a
network wants besides is put into its graph once, when it becomes a bundle, and costs next to nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from appliance.errors import ModelError

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Levels:
    """What a network was trained on: (level - mean) / std, of levels from 0 to 255, its colours in this order."""

    colours: Literal["rgb", "bgr"] = "rgb"
    mean: Three = (0.0, 0.0, 0.0)
    """By colour, in the order of `colours`."""
    std: Three = (255.0, 255.0, 255.0)


def put_before(model: Any, levels: Levels) -> Any:
    """The network with RGB from 0 to 1 in front of it. Raises ModelError model_unsupported for one not of pictures."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    shape = model.input(0).partial_shape
    if shape.rank.is_dynamic or len(shape) != 4:
        raise ModelError(f"its input has the shape {shape}, which is not of a picture", "model_unsupported")
    last = not shape[3].is_dynamic and shape[3].get_length() == 3
    steps = PrePostProcessor(model)
    steps.input(0).tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
    before = steps.input(0).preprocess()
    if levels.colours == "bgr":
        before.reverse_channels()
    before.mean([mean / 255 for mean in levels.mean]).scale([std / 255 for std in levels.std])
    steps.input(0).model().set_layout(openvino.Layout("NHWC" if last else "NCHW"))
    return steps.build()
