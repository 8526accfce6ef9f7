"""Inspect a network file: its metadata, and whether it accepts a camera's picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ModelError, last_line
from appliance.models.manifest import MOST_SIDE
from appliance.values import Size

_LEAST_SIDE = 16

OutputShape = tuple[int | None, ...]
"""Without the batch axis; None: any length."""


@dataclass(frozen=True, slots=True)
class OpenedNetwork:
    """What is known about a network without running it."""

    properties: dict[str, str]
    """Metadata that the exporter wrote into the file."""
    fixed_size: Size | None
    """The only supported input size; None: any."""
    outputs: tuple[OutputShape, ...]


def inspect(network: Path) -> OpenedNetwork:
    """Open a network file with OpenVINO.

    Raises ModelError: model_corrupt, or model_unsupported if its input does not accept a camera's picture.
    """
    import openvino

    try:
        model = openvino.Core().read_model(network)
        if not model.inputs or not model.outputs:
            raise ModelError(f"{network} cannot be read: it has no inputs or no outputs", "model_corrupt")
        objection = check_input(model)
        if objection is None:
            height, width = (model.input(0).partial_shape[axis] for axis in (2, 3))
            fixed = None if height.is_dynamic else Size(width.get_length(), height.get_length())
            return OpenedNetwork(_properties(model), fixed, tuple(_shape(output) for output in model.outputs))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{network} cannot be read: {last_line(error)}", "model_corrupt") from error
    raise ModelError(f"{network} {objection}", "model_unsupported")


def check_input(model: Any, *, colours_last: bool = False) -> str | None:
    """Why the network does not accept a camera's picture, as the rest of a sentence after its name; None: it does.

    `colours_last`: the colours may be the last axis.
    """
    if len(model.inputs) != 1:
        return f"has {len(model.inputs)} inputs; expected one, for a picture"
    shape = model.input(0).partial_shape
    if shape.rank.is_dynamic or len(shape) != 4:
        return f"has an input of shape {shape}; a picture needs four dimensions"
    batch, *sides = (None if side.is_dynamic else side.get_length() for side in shape)
    if batch not in (None, 1):
        return f"was exported with batch size {batch}. Export it again with batch=1"
    if colours_last and sides[2] == 3:
        colours, height, width = sides[2], *sides[:2]
    else:
        colours, height, width = sides
    if colours not in (None, 3):
        return (
            f"expects {colours} channel{'s' * (colours != 1)}, but cameras send three (RGB). Train and export it with "
            "channels: 3"
        )
    if (height is None) != (width is None):
        return "fixes only one side of its input. Export it again with dynamic=True, or fix both sides with imgsz"
    for side in (height, width):
        if side is not None and not _LEAST_SIDE <= side <= MOST_SIDE:
            return f"has an input of {width}x{height} px; each side must be {_LEAST_SIDE} to {MOST_SIDE} px (imgsz)"
    return None


def _properties(model: Any) -> dict[str, str]:
    info = model.get_rt_info()
    entries = info["framework"] if "framework" in info else {}  # noqa: SIM401  # OpenVINO's map has no get()
    return {str(key): entries[key].astype(str) for key in entries}


def _shape(output: Any) -> OutputShape:
    shape = output.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if side.is_dynamic else side.get_length() for side in list(shape)[1:])
