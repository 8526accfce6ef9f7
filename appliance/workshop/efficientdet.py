"""Convert EfficientDet-Lite0 (Tan et al. 2020, arXiv:1911.09070, Apache-2.0) from TFLite to a bundle.

Its last operation is a TFLite extension that OpenVINO does not support. It is replaced by box decoding with the anchors
of its training: five levels, three scales and three aspect ratios, with `anchor_scale` 3.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import ModelError, last_line
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle
from appliance.values import Size
from appliance.workshop.anchor_decoding import Anchors, with_decoded_boxes
from appliance.workshop.coco import COCO
from appliance.workshop.saving import save

NAME = "efficientdet-lite0"
SIDE = 320
_BOXES, _SCORES = "concat_1", "Sigmoid"
"""The inputs of the unsupported operation."""
_ANCHOR_SCALE = 3.0


def build(tflite: Path, folder: Path, source: str) -> Bundle:
    """Write the TFLite file as a bundle; the folder appears complete or not at all.

    Raises ModelError model_unsupported for another network, and OSError.
    """
    import openvino

    model = _with_boxes(_read(tflite))
    with scratch.appearing(folder) as fresh:
        save(_with_float_input(model), fresh / "model.xml")
        size, tools = Size(SIDE, SIDE), {"openvino": openvino.get_version()}
        bundle = Bundle(
            folder.name, fresh / "model.xml", "detect", "anchors", COCO, 32, size, "Apache-2.0", source, {}, tools=tools
        )  # fmt: skip
        bundles.write_manifest(bundle)
    return bundles.read(folder)


def anchors() -> Anchors:
    """All anchors in the order of the outputs, (19206, 4)."""
    rows = []
    cells = SIDE // 8
    for _ in range(5):
        stride = SIDE / cells
        centres = (np.arange(cells) + 0.5) * stride
        shapes = [
            (
                _ANCHOR_SCALE * stride * 2 ** (octave / 3) * aspect**0.5,
                _ANCHOR_SCALE * stride * 2 ** (octave / 3) / aspect**0.5,
            )
            for octave, aspect in itertools.product(range(3), (1.0, 2.0, 0.5))
        ]
        rows += [(x, y, width, height) for y in centres for x in centres for width, height in shapes]
        cells = (cells + 1) // 2
    return np.array(rows, np.float32)


def _read(tflite: Path) -> Any:
    """The network without its last operation."""
    from openvino import frontend

    reader = frontend.FrontEndManager().load_by_framework("tflite")
    try:
        loaded = reader.load(str(tflite))
        loaded.override_all_outputs([loaded.get_place_by_tensor_name(name) for name in (_BOXES, _SCORES)])
        return reader.convert_partially(loaded)
    except (RuntimeError, TypeError, frontend.GeneralFailure, frontend.NotImplementedFailure) as error:
        raise ModelError(
            f"{tflite} is not the published EfficientDet-Lite0: {last_line(error)}", "model_unsupported"
        ) from None


def _with_boxes(model: Any) -> Any:
    # For TFLite, each result is quantized to 8 bits and back; take the value before that.
    offsets, scores = (_input_of(result, 2) for result in model.get_results())
    return with_decoded_boxes(model, offsets, scores, anchors(), first_category=1)


def _input_of(node: Any, steps: int) -> Any:
    """The input of the first of `steps` chained operations, of which `node` is the last."""
    for _ in range(steps):
        node = node.input_value(0).get_node()
    return node.input_value(0)


def _with_float_input(model: Any) -> Any:
    """The network with an input for RGB from 0 to 1, colours first, like every bundle; its own takes bytes."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
    # x * 255 + 0.5, truncated to a byte: rounding.
    steps.input().preprocess().mean(-0.5 / 255).scale(1 / 255).convert_element_type(openvino.Type.u8)
    steps.input().model().set_layout(openvino.Layout("NHWC"))
    return steps.build()
