"""Run a declared network once on a grey picture, and read its output as declared.

`declared.py` starts this program in a process of its own: `python -m appliance.workshop.output_check FOLDER NAME`, with
the folder of the new bundle and the name of its network's file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from appliance.errors import ModelError, last_line
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.ports import Raw
from appliance.values import ResultFilter, Size
from appliance.vision.letterbox import fit
from appliance.workshop import own_process
from appliance.workshop.declared import FILE

_ANY_SIZE = Size(320, 320)
_CLASSES_IN: Mapping[str, Callable[[Raw], int]] = MappingProxyType(
    {
        "anchors": lambda raw: raw[0].shape[0] - 4,
        "objectness": lambda raw: raw[0].shape[1] - 5,
        "yolox": lambda raw: raw[0].shape[1] - 5,
        "picodet": lambda raw: raw[0].shape[1],
        "boxes_scores": lambda raw: raw[1].shape[0],
    }
)
"""The number of classes in the outputs, for heads that show it."""


def check(bundle: Bundle, name: str) -> None:
    """Run the network on a grey picture and read its output. Raises ModelError model_unsupported."""
    import openvino

    size = bundle.fixed_size or _ANY_SIZE
    place = fit(size, size, bundle.placing)
    try:
        compiled = openvino.Core().compile_model(bundle.network, "CPU")
        answer = compiled([np.full((1, 3, size.height, size.width), 0.5, np.float32)])
        raw = tuple(answer[output][0] for output in compiled.outputs)
        classes = _CLASSES_IN[bundle.head](raw) if bundle.head in _CLASSES_IN else len(bundle.classes)
        bundle.reader(0.7, 300).read(raw, place, ResultFilter(0.0))
    except Exception as error:
        raise ModelError(
            f"{name}: the head {bundle.head} cannot read its output: {last_line(error)}", "model_unsupported"
        ) from error
    if classes != len(bundle.classes):
        raise ModelError(
            f"{name} has {classes} classes, but {len(bundle.classes)} names are declared. List its class names with "
            f"--classes FILE, one per line, or in {FILE}",
            "model_unsupported",
        )


if __name__ == "__main__":
    own_process.report(lambda: check(bundles.read(Path(sys.argv[1])), sys.argv[2]))
