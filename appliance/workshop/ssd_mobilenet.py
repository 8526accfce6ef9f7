"""Convert SSD MobileNetV3-Large (Howard et al. 2019, arXiv:1905.02244, Apache-2.0) from TensorFlow to a bundle.

The file is TensorFlow's `ssd_mobilenet_v3_large_coco_2020_01_14`, frozen by the Object Detection API for phones. Its
last operation is a TFLite extension that OpenVINO does not support. It is replaced by box decoding with the anchors of
its training: six layers, scales from 0.2 to 0.95 of the input, five aspect ratios and one intermediate scale.
"""

from __future__ import annotations

import math
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
from appliance.workshop.preprocessing import Preprocessing, with_preprocessing
from appliance.workshop.saving import save

NAME = "ssd-mobilenet-v3"
SIDE = 320
_BOXES, _SCORES = "raw_outputs/box_encodings:0", "raw_outputs/class_predictions:0"
_SCALE_FACTORS = (10.0, 5.0)
_PREPROCESSING = Preprocessing("rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_CELLS = (20, 10, 5, 3, 2, 1)
_SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)


def build(graph: Path, folder: Path, source: str) -> Bundle:
    """Write the frozen graph as a bundle; the folder appears complete or not at all.

    Raises ModelError model_unsupported for another network, and OSError.
    """
    import openvino

    model = with_preprocessing(_read(graph), _PREPROCESSING)
    with scratch.appearing(folder) as fresh:
        save(model, fresh / "model.xml")
        size, tools = Size(SIDE, SIDE), {"openvino": openvino.get_version()}
        bundle = Bundle(
            folder.name, fresh / "model.xml", "detect", "anchors", COCO, 32, size, "Apache-2.0", source, {},
            tools=tools, placing="stretch",
        )  # fmt: skip
        bundles.write_manifest(bundle)
    return bundles.read(folder)


def anchors() -> Anchors:
    """All anchors in the order of the outputs, (2034, 4)."""
    rows = []
    for number, cells in enumerate(_CELLS):
        scale, coarser = _SCALES[number], _SCALES[number + 1]
        shapes = [(scale, aspect) for aspect in (1.0, 2.0, 0.5, 3.0, 0.3333)] + [(math.sqrt(scale * coarser), 1.0)]
        if number == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        extents = [(scale * math.sqrt(aspect), scale / math.sqrt(aspect)) for scale, aspect in shapes]
        centres = [(place + 0.5) / cells for place in range(cells)]
        rows += [(x, y, *extent) for y in centres for x in centres for extent in extents]
    return np.array(rows, np.float32) * SIDE


def _read(graph: Path) -> Any:
    """The network with decoded boxes in place of its last operation."""
    from openvino import frontend

    reader = frontend.FrontEndManager().load_by_framework("tf")
    try:
        loaded = reader.load(str(graph))
        loaded.override_all_outputs([loaded.get_place_by_tensor_name(name) for name in (_BOXES, _SCORES)])
        model = reader.convert(loaded)
        offsets, scores = (result.input_value(0) for result in model.get_results())
        return with_decoded_boxes(model, offsets, scores, anchors(), scale_factors=_SCALE_FACTORS, first_category=0)
    except (RuntimeError, TypeError, ValueError, frontend.GeneralFailure, frontend.NotImplementedFailure) as error:
        raise ModelError(f"{graph} is not the published {NAME}: {last_line(error)}", "model_unsupported") from None
