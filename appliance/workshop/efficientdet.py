"""EfficientDet-Lite0 (Tan et al. 2020, arXiv:1911.09070), Apache-2.0: a TFLite file into a bundle like any other.

Its own ending, a TFLite operation that OpenVINO has not, is left out, and its boxes are worked out of the anchors of
its training: five levels, three scales, three shapes, as `anchor_scale` 3 lays them out.
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
from appliance.workshop.anchor_boxes import Anchors, with_boxes
from appliance.workshop.coco import COCO

NAME = "efficientdet-lite0"
SIDE = 320
_BOXES, _SCORES = "concat_1", "Sigmoid"
"""The tensors that its ending took."""
_ANCHOR_SCALE = 3.0


def build(tflite: Path, folder: Path, source: str) -> Bundle:
    """Write the TFLite file as a bundle; the folder appears whole or not at all.

    Raises ModelError model_unsupported for another network.
    """
    import openvino

    model = _with_boxes(_read(tflite))
    with scratch.appearing(folder) as fresh:
        openvino.save_model(_from_0_to_1(model), fresh / "model.xml", compress_to_fp16=True)
        size, tools = Size(SIDE, SIDE), {"openvino": openvino.get_version()}
        bundle = Bundle(
            folder.name, fresh / "model.xml", "detect", "anchors", COCO, 32, size, "Apache-2.0", source, {}, tools=tools
        )  # fmt: skip
        bundles.write_manifest(bundle)
    return bundles.read(folder)


def anchors() -> Anchors:
    """Every anchor in its order, (19206, 4)."""
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
    """The network up to where its ending began."""
    from openvino import frontend

    reader = frontend.FrontEndManager().load_by_framework("tflite")
    try:
        loaded = reader.load(str(tflite))
        loaded.override_all_outputs([loaded.get_place_by_tensor_name(name) for name in (_BOXES, _SCORES)])
        return reader.convert_partially(loaded)
    except (RuntimeError, TypeError, frontend.GeneralFailure, frontend.NotImplementedFailure) as error:
        raise ModelError(
            f"{tflite} is not EfficientDet-Lite0 as it was published: {last_line(error)}", "model_unsupported"
        ) from None


def _with_boxes(model: Any) -> Any:
    # Each result was rounded to 8 bits for TFLite; what is before that is in its own units.
    offsets, scores = (_before(result, 2) for result in model.get_results())
    return with_boxes(model, offsets, scores, anchors(), first=1)


def _before(node: Any, steps: int) -> Any:
    """The output that a chain of so many one-input operations began with."""
    for _ in range(steps):
        node = node.input_value(0).get_node()
    return node.input_value(0)


def _from_0_to_1(model: Any) -> Any:
    """The network with colours apart and from 0 to 1 before it, as all others here want them; its own are bytes."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
    # x * 255 + 0.5, cut to a byte: rounded.
    steps.input().preprocess().mean(-0.5 / 255).scale(1 / 255).convert_element_type(openvino.Type.u8)
    steps.input().model().set_layout(openvino.Layout("NHWC"))
    return steps.build()
