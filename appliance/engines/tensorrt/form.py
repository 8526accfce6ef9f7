"""What a TensorRT engine takes and gives: its tensors, and the input sizes of its optimisation profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.errors import EngineError
from appliance.values import Size

_KINDS = {"FLOAT": np.float32, "HALF": np.float16}
_ANY = -1
"""A side that a profile bounds."""


@dataclass(frozen=True, slots=True)
class IoTensor:
    """An input or output."""

    name: str
    kind: Any
    """NumPy's type of its elements."""

    def bytes_of(self, shape: Sequence[int]) -> int:
        """Its size in memory with this shape."""
        return math.prod(shape) * int(np.dtype(self.kind).itemsize)


@dataclass(frozen=True, slots=True)
class Range:
    """The input sizes of an optimisation profile."""

    least: Size
    most: Size

    def holds(self, size: Size) -> bool:
        return (
            self.least.width <= size.width <= self.most.width and self.least.height <= size.height <= self.most.height
        )


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a network for pictures: one input (1, 3, height, width), outputs with a batch of one in front."""

    image: IoTensor
    outputs: tuple[IoTensor, ...]
    profiles: tuple[Range, ...]

    @classmethod
    def of(cls, tensorrt: Any, engine: Any) -> Form:
        """As the engine tells it. Raises EngineError for another kind of network."""
        tensors = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        given = [name for name in tensors if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        shape = tuple(engine.get_tensor_shape(given[0])) if given else ()
        if len(given) != 1 or len(shape) != 4 or shape[0] not in (1, _ANY) or shape[1] != 3:
            raise EngineError(f"this engine does not take one picture, (1, 3, height, width), but {shape or 'nothing'}")
        return cls(
            _tensor(engine, given[0]),
            tuple(_tensor(engine, name) for name in tensors if name != given[0]),
            tuple(_range(engine, given[0], shape, index) for index in range(engine.num_optimization_profiles)),
        )

    def profile_for(self, size: Size | None) -> int:
        """The profile that was tuned for this size, else the widest; None: the widest. Raises EngineError."""
        widest = max(range(len(self.profiles)), key=lambda index: _area(self.profiles[index].most))
        if size is None:
            return widest
        fitting = [index for index, one in enumerate(self.profiles) if one.holds(size)]
        if not fitting:
            most = self.profiles[widest].most
            raise EngineError(
                f"this engine was built for inputs up to {most.width}x{most.height}, and cannot take "
                f"{size.width}x{size.height}"
            )
        own = [index for index in fitting if self.profiles[index] == Range(size, size)]
        return own[0] if own else widest if widest in fitting else fitting[0]


def _tensor(engine: Any, name: str) -> IoTensor:
    kind = engine.get_tensor_dtype(name).name
    if kind not in _KINDS:
        raise EngineError(f"this engine's '{name}' is of type {kind}; {' and '.join(_KINDS)} can be read")
    return IoTensor(name, _KINDS[kind])


def _range(engine: Any, image: str, shape: Sequence[int], index: int) -> Range:
    if _ANY not in shape:
        return Range(_size(shape), _size(shape))
    least, _, most = engine.get_tensor_profile_shape(image, index)
    return Range(_size(tuple(least)), _size(tuple(most)))


def _size(shape: Sequence[int]) -> Size:
    return Size(shape[3], shape[2])


def _area(size: Size) -> int:
    return size.width * size.height
