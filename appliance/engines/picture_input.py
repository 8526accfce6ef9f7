"""The input of a network in OpenVINO: pictures as they are, converted in the compiled graph."""

from __future__ import annotations

from typing import Any


def take_pictures(openvino: Any, model: Any) -> Any:
    """Add u8 NHWC RGB input to a network that expects f32, 0-1, NCHW, as Ultralytics' networks do."""
    from openvino.preprocess import PrePostProcessor

    shape = model.input(0).partial_shape
    steps = PrePostProcessor(model)
    height, width = (-1 if side.is_dynamic else side.get_length() for side in (shape[2], shape[3]))
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_shape(
        [1, height, width, 3]
    )
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()
