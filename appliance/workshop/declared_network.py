"""Make a bundle of a declared network, run it once on a grey picture, and read its output as declared.

`declared.py` starts this program in a process of its own: `python -m appliance.workshop.declared_network NETWORK
FOLDER`. FOLDER contains the declaration. Even adding the preprocessing can take for ever: OpenVINO then computes what
does not depend on the picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from appliance.errors import ModelError, last_line
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.models.network import check_input, inspect
from appliance.ports import Raw
from appliance.values import ResultFilter, Size
from appliance.vision.letterbox import Placing, fit
from appliance.workshop import own_process
from appliance.workshop.declared import FILE, HANDED_OVER, Declaration, Input
from appliance.workshop.preprocessing import Preprocessing, with_preprocessing
from appliance.workshop.saving import save

_ANY_SIZE = Size(320, 320)
_IMAGENET = Preprocessing("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True, slots=True)
class HeadDefaults:
    """What a network with this head expects, unless its declaration differs."""

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    placing: Placing = "centre"
    batched: bool = True
    """Whether its outputs have a batch axis."""


HEAD_DEFAULTS: Mapping[str, HeadDefaults] = MappingProxyType(
    {
        "yolox": HeadDefaults(Preprocessing("bgr", std=(1.0, 1.0, 1.0)), "corner"),
        "objectness": HeadDefaults(),
        "picodet": HeadDefaults(_IMAGENET, "stretch"),
        "boxes_scores": HeadDefaults(_IMAGENET, "stretch"),
        "class_first": HeadDefaults(_IMAGENET, "stretch", batched=False),
        "boxes_labels": HeadDefaults(placing="stretch", batched=False),
    }
)
"""By head; heads that are not listed have the defaults of the class."""

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


def write(network: Path, folder: Path) -> None:
    """Write the bundle into the folder, from which the declaration is removed. Raises ModelError and OSError."""
    import openvino

    handed_over, file = folder / HANDED_OVER, folder / "model.xml"
    declaration = msgspec.json.decode(handed_over.read_bytes(), type=Declaration)
    handed_over.unlink()
    defaults, given = HEAD_DEFAULTS.get(declaration.head, HeadDefaults()), declaration.input
    save(_converted(network, defaults, given), file)
    bundle = Bundle(
        folder.name, file, "detect", declaration.head, declaration.classes, declaration.stride,
        inspect(file).fixed_size, declaration.license, declaration.source or network.name, {},
        tools={"openvino": openvino.get_version()}, placing=given.placing or defaults.placing,
    )  # fmt: skip
    _check_output(bundle, network.name)
    bundles.write_manifest(bundle)


def _converted(network: Path, defaults: HeadDefaults, given: Input) -> Any:
    """The network with the input of every bundle, and outputs with a batch axis. Raises ModelError."""
    import openvino

    usual = defaults.preprocessing
    preprocessing = Preprocessing(given.colours or usual.colours, given.mean or usual.mean, given.std or usual.std)
    try:
        model = _with_one_input(openvino.Core().read_model(network), network)
        if (objection := check_input(model, colours_last=True)) is not None:
            raise ModelError(f"{network} {objection}", "model_unsupported")
        model = with_preprocessing(model, preprocessing)
        return model if defaults.batched else _with_batch_axis(model)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{network} cannot be read: {last_line(error)}", "model_corrupt") from error


def _with_one_input(model: Any, network: Path) -> Any:
    """The network with the picture as its only input.

    PaddleDetection's exports have a second input, the scale of the picture, to scale their boxes back. It becomes the
    constant 1.
    """
    import openvino

    pictures = [one for one in model.get_parameters() if one.get_partial_shape().rank == openvino.Dimension(4)]
    if not pictures:
        raise ModelError(f"{network} has no input for a picture", "model_unsupported")
    for parameter in model.get_parameters():
        if parameter is pictures[0]:
            continue
        if parameter.get_friendly_name() not in ("scale_factor", "im_shape"):
            name = parameter.get_friendly_name()
            raise ModelError(f"{network} has an unsupported second input '{name}'", "model_unsupported")
        if parameter.get_friendly_name() == "im_shape":
            size = pictures[0].get_partial_shape()
            value = np.array([[size[2].get_length(), size[3].get_length()]], np.float32)
        else:
            value = np.ones((1, 2), np.float32)
        parameter.output(0).replace(openvino.opset13.constant(value).output(0))
        model.remove_parameter(parameter)
    return model


def _with_batch_axis(model: Any) -> Any:
    """The network with a batch axis in front of each output."""
    import openvino
    from openvino import opset13 as ops

    outputs = [ops.unsqueeze(result.input_value(0), 0) for result in model.get_results()]
    return openvino.Model(outputs, model.get_parameters(), model.get_friendly_name())


def _check_output(bundle: Bundle, name: str) -> None:
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
    own_process.report(lambda: write(Path(sys.argv[1]), Path(sys.argv[2])))
