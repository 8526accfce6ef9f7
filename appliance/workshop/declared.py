"""A network that does not say itself how it is read: its declaration, and how the two become a bundle.

A declaration is `model.toml` beside the network file, or no more than the name of a head: what its authors publish for
the rest is taken then. A bundle that comes of it is proved by running it once, and reading what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np

from appliance import files
from appliance.errors import ModelError, last_line
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle
from appliance.models.manifest import MOST_STRIDE
from appliance.models.names import check_classes, has_control
from appliance.models.network import check_input, inspect
from appliance.ports import Raw
from appliance.values import ResultFilter, Size
from appliance.vision.heads import HEADS
from appliance.vision.letterbox import Placing, fit
from appliance.workshop.coco import COCO
from appliance.workshop.input_levels import Levels, Three, put_before

FILE = "model.toml"
NETWORKS = (".onnx", ".xml", ".tflite", ".pb")
"""Suffixes of the files that are taken."""
_IMAGENET = Levels("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_ANY_SIZE = Size(320, 320)
_MOST_BYTES, _LONGEST_TEXT = 4_000_000, 1000


@dataclass(frozen=True, slots=True)
class Custom:
    """What is usual for a head."""

    levels: Levels = field(default_factory=Levels)
    placing: Placing = "centre"
    batched: bool = True
    """Whether its outputs have an axis for several pictures."""


CUSTOMS: Mapping[str, Custom] = MappingProxyType(
    {
        "yolox": Custom(Levels("bgr", std=(1.0, 1.0, 1.0)), "corner"),
        "objectness": Custom(),
        "picodet": Custom(_IMAGENET, "stretch"),
        "boxes_scores": Custom(_IMAGENET, "stretch"),
        "class_first": Custom(_IMAGENET, "stretch", batched=False),
        "boxes_labels": Custom(placing="stretch", batched=False),
    }
)
"""By head, as the authors of what is named first there publish it."""


_CLASSES_IN: Mapping[str, Callable[[Raw], int]] = MappingProxyType(
    {
        "anchors": lambda raw: raw[0].shape[0] - 4,
        "objectness": lambda raw: raw[0].shape[1] - 5,
        "yolox": lambda raw: raw[0].shape[1] - 5,
        "picodet": lambda raw: raw[0].shape[1],
        "boxes_scores": lambda raw: raw[1].shape[0],
    }
)
"""How many classes there are, where the outputs show it."""


class Input(msgspec.Struct, forbid_unknown_fields=True):
    """How pictures are shown to a network; what is not said is as usual for its head."""

    colours: Literal["rgb", "bgr"] | None = None
    mean: Three | None = None
    std: Three | None = None
    placing: Placing | None = None


class Declaration(msgspec.Struct, forbid_unknown_fields=True):
    """What one must know of a network."""

    head: str
    """A key of HEADS."""
    classes: tuple[str, ...] = COCO
    license: str = "unknown"
    source: str = ""
    stride: int = 32
    """Of the input's sides, px, where they are not fixed."""
    input: Input = msgspec.field(default_factory=Input)


def read(path: Path) -> Declaration:
    """The declaration in this file. Raises ModelError model_unsupported, naming what is wrong in it."""
    try:
        declaration = msgspec.toml.decode(files.read_plain(path, _MOST_BYTES), type=Declaration)
    except RecursionError:
        raise ModelError(f"{path} is nested too deeply", "model_unsupported") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ModelError(f"{path}: {error}", "model_unsupported") from None
    for text in (declaration.license, declaration.source):
        if len(text) > _LONGEST_TEXT or has_control(text):
            raise ModelError(f"{path}: license and source are one short line each", "model_unsupported")
    return declaration


def network_in(folder: Path) -> Path:
    """The one network file in a folder. Raises ModelError model_unsupported for none or several."""
    found = sorted(path for path in folder.iterdir() if path.suffix in NETWORKS)
    if len(found) != 1:
        raise ModelError(
            f"{folder} should hold one network ({', '.join(NETWORKS)}) beside {FILE}, and holds {len(found)}",
            "model_unsupported",
        )
    return found[0]


def build(network: Path, folder: Path, declaration: Declaration) -> Bundle:
    """Write the network as a bundle, as declared; the folder appears whole or not at all.

    Raises ModelError: model_corrupt when it cannot be read, model_unsupported when it is not as declared.
    """
    import openvino

    if declaration.head not in HEADS:
        known = ", ".join(HEADS)
        raise ModelError(f"there is no head '{declaration.head}'; known are {known}", "model_unsupported")
    if not 1 <= declaration.stride <= MOST_STRIDE:
        raise ModelError(f"{network.name} needs a stride of 1 to {MOST_STRIDE}", "model_unsupported")
    if (why := check_classes(declaration.classes)) is not None:
        raise ModelError(f"{network.name} cannot be used: {why}", "model_unsupported")
    if any(one == 0 for one in declaration.input.std or ()):
        raise ModelError(f"{network.name} cannot be used: a std of 0 divides by nothing", "model_unsupported")
    custom, said = CUSTOMS.get(declaration.head, Custom()), declaration.input
    usual = custom.levels
    levels = Levels(said.colours or usual.colours, said.mean or usual.mean, said.std or usual.std)
    try:
        model = _alone(openvino.Core().read_model(network))
        if (objection := check_input(model, colours_last=True)) is not None:
            raise ModelError(f"{network} {objection}", "model_unsupported")
        model = put_before(model, levels)
        if not custom.batched:
            model = _with_batch(model)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{network} cannot be read: {last_line(error)}", "model_corrupt") from error
    with scratch.appearing(folder) as fresh:
        openvino.save_model(model, fresh / "model.xml", compress_to_fp16=True)
        fixed = inspect(fresh / "model.xml").fixed_size
        bundle = Bundle(
            folder.name, fresh / "model.xml", "detect", declaration.head, declaration.classes, declaration.stride,
            fixed, declaration.license, declaration.source or network.name, {},
            tools={"openvino": openvino.get_version()}, placing=said.placing or custom.placing,
        )  # fmt: skip
        _prove(bundle)
        bundles.write_manifest(bundle)
    return bundles.read(folder)


def _alone(model: Any) -> Any:
    """The network with the picture as its only input.

    PaddleDetection's exports also ask by how much it was scaled, and scale their boxes back: by 1 here.
    """
    import openvino

    pictures = [one for one in model.get_parameters() if one.get_partial_shape().rank == openvino.Dimension(4)]
    if not pictures:
        raise ModelError("none of its inputs is a picture", "model_unsupported")
    for parameter in model.get_parameters():
        if parameter is pictures[0]:
            continue
        if parameter.get_friendly_name() not in ("scale_factor", "im_shape"):
            raise ModelError(f"it has a second input, {parameter.get_friendly_name()}", "model_unsupported")
        if parameter.get_friendly_name() == "im_shape":
            size = pictures[0].get_partial_shape()
            value = np.array([[size[2].get_length(), size[3].get_length()]], np.float32)
        else:
            value = np.ones((1, 2), np.float32)
        parameter.output(0).replace(openvino.opset13.constant(value).output(0))
        model.remove_parameter(parameter)
    return model


def _with_batch(model: Any) -> Any:
    """The network with an axis for several pictures in front of each output."""
    import openvino
    from openvino import opset13 as ops

    outputs = [ops.unsqueeze(result.input_value(0), 0) for result in model.get_results()]
    return openvino.Model(outputs, model.get_parameters(), model.get_friendly_name())


def _prove(bundle: Bundle) -> None:
    """Run it on a grey picture and read its outputs. Raises ModelError model_unsupported when that cannot be done."""
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
            f"what it gives cannot be read by the head {bundle.head}: {last_line(error)}", "model_unsupported"
        ) from error
    if classes != len(bundle.classes):
        raise ModelError(
            f"it tells {classes} classes apart, and {len(bundle.classes)} are named; name them with --classes FILE, "
            f"one a line, or in {FILE}",
            "model_unsupported",
        )
