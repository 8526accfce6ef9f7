"""Declarations: how to read a network that contains no metadata, and how to make a bundle of it.

A declaration is a `model.toml` next to the network file, or just the name of a head; everything else then has the
values that the authors of that head publish. A new bundle is checked by running it once and reading its output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from appliance import files
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle
from appliance.models.manifest import MOST_STRIDE
from appliance.models.names import check_classes, has_control
from appliance.vision.heads import HEADS
from appliance.vision.letterbox import Placing
from appliance.workshop import own_process
from appliance.workshop.coco import COCO
from appliance.workshop.preprocessing import PerColour

FILE = "model.toml"
HANDED_OVER = "declaration.json"
"""The declaration, for the process that makes the bundle."""
NETWORKS = (".onnx", ".xml", ".tflite", ".pb")
"""Suffixes of supported network files."""
_MOST_BYTES, _LONGEST_TEXT = 4_000_000, 1000
_LEAST_STD, _MOST_LEVEL = 0.01, 10_000.0
"""Bounds for the input: in FP16 weights, OpenVINO replaces what is too large, infinite or no number."""


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
    _check(declaration, network.name)
    with scratch.appearing(folder) as fresh:
        (fresh / HANDED_OVER).write_bytes(msgspec.json.encode(declaration))  # too long for a command line
        arguments = [str(network.absolute()), str(fresh.absolute())]
        own_process.run("appliance.workshop.declared_network", arguments, network.name)
    return bundles.read(folder)


def _check(declaration: Declaration, name: str) -> None:
    if declaration.head not in HEADS:
        raise ModelError(f"unknown head '{declaration.head}'; supported: {', '.join(HEADS)}", "model_unsupported")
    if not 1 <= declaration.stride <= MOST_STRIDE:
        raise ModelError(f"{name}: stride must be 1 to {MOST_STRIDE}", "model_unsupported")
    if (why := check_classes(declaration.classes)) is not None:
        raise ModelError(f"{name} cannot be used: {why}", "model_unsupported")
    mean, std = declaration.input.mean or (), declaration.input.std or ()
    if not all(abs(one) <= _MOST_LEVEL for one in mean) or not all(_LEAST_STD <= one <= _MOST_LEVEL for one in std):
        raise ModelError(
            f"{name}: mean must be -{_MOST_LEVEL:g} to {_MOST_LEVEL:g}, and std {_LEAST_STD:g} to {_MOST_LEVEL:g}",
            "model_unsupported",
        )
