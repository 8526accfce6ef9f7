"""Declarations: how to read a network that contains no metadata, and how to make a bundle of it.

A declaration is a `model.toml` next to the network file, or just the name of a head; everything else then has the
values that the authors of that head publish. A new bundle is checked by running it once and reading its output.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from appliance.vision.heads import HEADS
from appliance.vision.letterbox import Placing
from appliance.workshop import own_process
from appliance.workshop.coco import COCO
from appliance.workshop.preprocessing import PerColour, Preprocessing, with_preprocessing
from appliance.workshop.saving import save

FILE = "model.toml"
NETWORKS = (".onnx", ".xml", ".tflite", ".pb")
"""Suffixes of supported network files."""
_IMAGENET = Preprocessing("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_MOST_BYTES, _LONGEST_TEXT = 4_000_000, 1000


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


class Input(msgspec.Struct, forbid_unknown_fields=True):
    """The `[input]` table: the input that a network expects; missing entries come from HEAD_DEFAULTS."""

    colours: Literal["rgb", "bgr"] | None = None
    mean: PerColour | None = None
    std: PerColour | None = None
    placing: Placing | None = None


class Declaration(msgspec.Struct, forbid_unknown_fields=True):
    """The content of a `model.toml`."""

    head: str
    """A key of HEADS."""
    classes: tuple[str, ...] = COCO
    license: str = "unknown"
    source: str = ""
    stride: int = 32
    """Both sides of an input without a fixed size are multiples of this, px."""
    input: Input = msgspec.field(default_factory=Input)


def read(path: Path) -> Declaration:
    """Read a declaration. Raises ModelError model_unsupported, naming the invalid entry."""
    try:
        declaration = msgspec.toml.decode(files.read_plain(path, _MOST_BYTES), type=Declaration)
    except RecursionError:
        raise ModelError(f"{path} is nested too deeply", "model_unsupported") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ModelError(f"{path}: {error}", "model_unsupported") from None
    for text in (declaration.license, declaration.source):
        if len(text) > _LONGEST_TEXT or has_control(text):
            raise ModelError(
                f"{path}: license and source must be one line of at most {_LONGEST_TEXT} characters",
                "model_unsupported",
            )
    return declaration


def network_in(folder: Path) -> Path:
    """The only network file in a folder. Raises ModelError model_unsupported if there are none or several."""
    found = sorted(path for path in folder.iterdir() if path.suffix in NETWORKS)
    if len(found) != 1:
        raise ModelError(
            f"{folder} must contain one network file ({', '.join(NETWORKS)}) next to {FILE}, but contains {len(found)}",
            "model_unsupported",
        )
    return found[0]


def build(network: Path, folder: Path, declaration: Declaration) -> Bundle:
    """Write the network as a bundle; the folder appears complete or not at all.

    Raises ModelError: model_corrupt if it cannot be read, model_unsupported if it does not match its declaration; and
    OSError.
    """
    import openvino

    _check(declaration, network.name)
    defaults, given = HEAD_DEFAULTS.get(declaration.head, HeadDefaults()), declaration.input
    usual = defaults.preprocessing
    preprocessing = Preprocessing(given.colours or usual.colours, given.mean or usual.mean, given.std or usual.std)
    try:
        model = _with_one_input(openvino.Core().read_model(network), network)
        if (objection := check_input(model, colours_last=True)) is not None:
            raise ModelError(f"{network} {objection}", "model_unsupported")
        model = with_preprocessing(model, preprocessing)
        if not defaults.batched:
            model = _with_batch_axis(model)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{network} cannot be read: {last_line(error)}", "model_corrupt") from error
    with scratch.appearing(folder) as fresh:
        save(model, fresh / "model.xml")
        fixed = inspect(fresh / "model.xml").fixed_size
        bundle = Bundle(
            folder.name, fresh / "model.xml", "detect", declaration.head, declaration.classes, declaration.stride,
            fixed, declaration.license, declaration.source or network.name, {},
            tools={"openvino": openvino.get_version()}, placing=given.placing or defaults.placing,
        )  # fmt: skip
        bundles.write_manifest(bundle)
        own_process.run("appliance.workshop.output_check", [str(fresh.absolute()), network.name], network.name)
    return bundles.read(folder)


def _check(declaration: Declaration, name: str) -> None:
    if declaration.head not in HEADS:
        raise ModelError(f"unknown head '{declaration.head}'; supported: {', '.join(HEADS)}", "model_unsupported")
    if not 1 <= declaration.stride <= MOST_STRIDE:
        raise ModelError(f"{name}: stride must be 1 to {MOST_STRIDE}", "model_unsupported")
    if (why := check_classes(declaration.classes)) is not None:
        raise ModelError(f"{name} cannot be used: {why}", "model_unsupported")
    if any(one == 0 for one in declaration.input.std or ()):
        raise ModelError(f"{name}: std must not be 0", "model_unsupported")


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
