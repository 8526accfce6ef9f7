"""Build a network's own preprocessing into its graph.

Every bundle accepts the same input: RGB from 0 to 1, colours first. Engines therefore need no preprocessing options. A
network that was trained on other levels gets the conversion as its first operations, at almost no cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from appliance.errors import ModelError

PerColour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The input that a network was trained on: (level - mean) / std, with levels from 0 to 255."""

    colours: Literal["rgb", "bgr"] = "rgb"
    mean: PerColour = (0.0, 0.0, 0.0)
    """In the order of `colours`."""
    std: PerColour = (255.0, 255.0, 255.0)
    """In the order of `colours`."""


def with_preprocessing(model: Any, preprocessing: Preprocessing) -> Any:
    """The network with an input for RGB from 0 to 1. Raises ModelError model_unsupported if it takes no picture."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    shape = model.input(0).partial_shape
    if shape.rank.is_dynamic or len(shape) != 4:
        raise ModelError(f"its input has the shape {shape}, which is not that of a picture", "model_unsupported")
    colours_last = not shape[3].is_dynamic and shape[3].get_length() == 3
    steps = PrePostProcessor(model)
    steps.input(0).tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
    conversion = steps.input(0).preprocess()
    if preprocessing.colours == "bgr":
        conversion.reverse_channels()
    conversion.mean([mean / 255 for mean in preprocessing.mean]).scale([std / 255 for std in preprocessing.std])
    steps.input(0).model().set_layout(openvino.Layout("NHWC" if colours_last else "NCHW"))
    return steps.build()
