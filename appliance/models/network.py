"""A network file, opened: what it says of itself, and whether a camera's picture can go in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ModelError, last_line
from appliance.models.manifest import MOST_SIDE
from appliance.values import Size

_LEAST_SIDE = 16

Shape = tuple[int | None, ...]
"""Without the axis for several pictures; None: any length."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a network without running it."""

    properties: dict[str, str]
    """As its exporter wrote them into the file."""
    fixed_size: Size | None
    """The only size its input has; None: any."""
    outputs: tuple[Shape, ...]


def inspect(network: Path) -> Opened:
    """What OpenVINO reads in this file. Raises ModelError: model_corrupt, and model_unsupported for a network that a
    camera's picture does not fit into.
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
            return Opened(_properties(model), fixed, tuple(_shape(output) for output in model.outputs))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{network} cannot be read: {last_line(error)}", "model_corrupt") from error
    raise ModelError(f"{network} {objection}", "model_unsupported")


def check_input(model: Any, *, colours_last: bool = False) -> str | None:
    """Why a camera's picture cannot go into this network, as the end of a sentence that begins with its name; None: it
    can. `colours_last`: its colours may be the last axis.
    """
    if len(model.inputs) != 1:
        return f"has {len(model.inputs)} inputs; a network with one, for pictures, is expected"
    shape = model.input(0).partial_shape
    if shape.rank.is_dynamic or len(shape) != 4:
        return f"has an input of shape {shape}, which is not for pictures"
    batch, *sides = (None if side.is_dynamic else side.get_length() for side in shape)
    if batch not in (None, 1):
        return f"was exported for {batch} pictures at once, and cameras send one; export it again with batch=1"
    if colours_last and sides[2] == 3:
        colours, height, width = sides[2], *sides[:2]
    else:
        colours, height, width = sides
    if colours not in (None, 3):
        return (
            f"takes pictures of {colours} channel{'s' * (colours != 1)}, and cameras send three, red, green and blue; "
            "train and export it with channels: 3"
        )
    if (height is None) != (width is None):
        return "leaves one side of its input open; export it again with dynamic=True, or with both sides fixed by imgsz"
    for side in (height, width):
        if side is not None and not _LEAST_SIDE <= side <= MOST_SIDE:
            return f"has an input of {width}x{height} px; sides of {_LEAST_SIDE} to {MOST_SIDE} px are possible (imgsz)"
    return None


def _properties(model: Any) -> dict[str, str]:
    info = model.get_rt_info()
    told = info["framework"] if "framework" in info else {}  # noqa: SIM401  # OpenVINO's map has no get
    return {str(key): told[key].astype(str) for key in told}


def _shape(output: Any) -> Shape:
    shape = output.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if side.is_dynamic else side.get_length() for side in list(shape)[1:])
