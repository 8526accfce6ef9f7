"""What the server's model takes and returns, and pictures in that form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.ports import Raw, Tensor
from appliance.values import Size

_TYPES = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}
_COLOURS = 3
_MOST_SIDE = 2048
"""Of a picture, px: the most of `flow.max_side`. A picture of each side that a server names would fill the memory."""

_LEAST_ANSWER_BYTES = 1 << 20
_LONGEST_WHY = 400


class UnusableServer(Exception):
    """The server or its model cannot be used; the message is the rest of a sentence after the server's name.

    It is cut, because it can contain what the server sent: up to a megabyte.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why if len(why) <= _LONGEST_WHY else f"{why[:_LONGEST_WHY]}…")


class OtherSize(Exception):
    """The server's model takes pictures of one size, and this is another."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The server's model. Pixels of `UINT8` are sent as they are, others as 0-1."""

    input_name: str
    datatype: str
    colours_last: bool
    fixed_size: Size | None
    """The only size that it takes; None: any."""
    output_names: tuple[str, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    """With the batch dimension; what is negative may have any size."""

    @property
    def kind(self) -> str:
        """Type and layout of the input, for people."""
        return f"{self.datatype} {'NHWC' if self.colours_last else 'NCHW'}"

    def returns(self, found: tuple[tuple[int, ...], ...]) -> bool:
        """Whether these can be the shapes of its outputs, without the batch dimension."""
        return all(map(_fits, self.output_shapes, found))

    def after(self, found: tuple[tuple[int, ...], ...]) -> ServedModel:
        """The same model after an answer with these shapes: what is said otherwise of an output does not count."""
        known = (
            said if _fits(said, one) else (-1,) * (len(one) + 1)
            for said, one in zip(self.output_shapes, found, strict=True)
        )
        return replace(self, output_shapes=tuple(known))


def served_model(
    inputs: list[tuple[str, str, tuple[int, ...]]], outputs: list[tuple[str, tuple[int, ...]]]
) -> ServedModel:
    """What the metadata of a model say; `inputs` as (name, datatype, shape), `outputs` as (name, shape).

    Raises UnusableServer.
    """
    if len(inputs) != 1 or not outputs:
        raise UnusableServer(
            f"offers a model with {len(inputs)} inputs and {len(outputs)} outputs; expected one picture"
        )
    name, datatype, shape = inputs[0]
    if datatype not in _TYPES:
        raise UnusableServer(f"offers a model that takes {datatype}; expected {', '.join(_TYPES)}")
    if len(shape) != 4 or shape[0] not in (-1, 1) or _COLOURS not in (shape[1], shape[3]):
        raise UnusableServer(f"offers a model with an input of shape {list(shape)}; expected [1, height, width, 3] or "
                             "[1, 3, height, width]")  # fmt: skip
    colours_last = shape[3] == _COLOURS
    height, width = shape[1:3] if colours_last else shape[2:]
    if max(height, width) > _MOST_SIDE:
        raise UnusableServer(f"offers a model for pictures of {width}x{height} px; the most is {_MOST_SIDE}")
    return ServedModel(
        input_name=name,
        datatype=datatype,
        colours_last=colours_last,
        fixed_size=Size(width, height) if min(height, width) > 0 else None,
        output_names=tuple(name for name, _ in outputs),
        output_shapes=tuple(shape for _, shape in outputs),
    )


def encode(model: ServedModel, tensor: Tensor) -> tuple[tuple[int, ...], bytes]:
    """Shape and bytes of a picture, as the server's model takes it. Raises OtherSize."""
    size = Size(tensor.shape[1], tensor.shape[0])
    if model.fixed_size not in (None, size):
        raise OtherSize
    pixels = tensor[None] if model.colours_last else tensor.transpose(2, 0, 1)[None]
    if model.datatype == "UINT8":
        return pixels.shape, pixels.tobytes()
    dtype = _TYPES[model.datatype]
    scaled: NDArray[Any] = np.multiply(pixels, 1 / 255, dtype=np.float32)
    return pixels.shape, scaled.astype(dtype, copy=False).tobytes()


def decode(datatype: str, shape: tuple[int, ...], raw: bytes) -> NDArray[np.floating[Any]]:
    """One output without its batch dimension. Raises UnusableServer."""
    dtype = {"FP16": np.float16, "FP32": np.float32}.get(datatype)
    if dtype is None:
        raise UnusableServer(f"answered with {datatype}; expected FP32 or FP16")
    if len(shape) < 2 or shape[0] != 1 or min(shape) < 0 or math.prod(shape) * np.dtype(dtype).itemsize != len(raw):
        raise UnusableServer(f"answered with {len(raw)} bytes for an output of shape {list(shape)[:8]}")
    try:
        values: NDArray[np.floating[Any]] = np.frombuffer(raw, dtype).reshape(shape)[0]
    except ValueError:  # no values in a shape that no array can have
        raise UnusableServer(f"answered with an output of shape {list(shape)[:8]}") from None
    return values


def longest_answer(here: tuple[tuple[int, ...], ...], size: Size, model: ServedModel) -> int:
    """The most bytes of an answer, message included, if this device's model has outputs of these shapes at this size.

    The outputs of a model have a fixed size, or grow with the number of pixels.
    """
    largest = 1.0 if model.fixed_size else max(1.0, _MOST_SIDE**2 / (size.width * size.height))
    numbers = sum(math.prod(shape) for shape in here)
    return _LEAST_ANSWER_BYTES + math.ceil(numbers * np.dtype(np.float32).itemsize * largest)


def _fits(said: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return len(said) == len(found) + 1 and all(a < 0 or a == b for a, b in zip(said[1:], found, strict=True))


def shapes(raw: Raw) -> tuple[tuple[int, ...], ...]:
    """The shapes of a model's outputs."""
    return tuple(one.shape for one in raw)
