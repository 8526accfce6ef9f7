"""The signature of a TensorRT engine: its I/O tensors and the input sizes of its optimisation profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.errors import EngineError
from appliance.values import Size

_KINDS = {"FLOAT": np.float32, "HALF": np.float16}
_DYNAMIC = -1
"""A dimension whose range the profile sets."""


@dataclass(frozen=True, slots=True)
class IoTensor:
    """An input or output tensor."""

    name: str
    kind: Any
    """NumPy element type."""

    def bytes_of(self, shape: Sequence[int]) -> int:
        """Memory it needs with this shape."""
        return math.prod(shape) * int(np.dtype(self.kind).itemsize)


@dataclass(frozen=True, slots=True)
class SizeRange:
    """The input sizes of an optimisation profile."""

    smallest: Size
    largest: Size

    def contains(self, size: Size) -> bool:
        widths, heights = (self.smallest.width, self.largest.width), (self.smallest.height, self.largest.height)
        return widths[0] <= size.width <= widths[1] and heights[0] <= size.height <= heights[1]


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of an image network: one input (1, 3, height, width), and outputs with a batch size of one."""

    image: IoTensor
    outputs: tuple[IoTensor, ...]
    profiles: tuple[SizeRange, ...]

    @classmethod
    def of(cls, tensorrt: Any, engine: Any) -> Signature:
        """Read it from an engine. Raises EngineError when the network does not take one image."""
        tensors = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in tensors if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        shape = tuple(engine.get_tensor_shape(inputs[0])) if inputs else ()
        if len(inputs) != 1 or len(shape) != 4 or shape[0] not in (1, _DYNAMIC) or shape[1] != 3:
            raise EngineError(f"the engine's input is {shape or 'missing'}; expected one image, (1, 3, height, width)")
        return cls(
            _tensor(engine, inputs[0]),
            tuple(_tensor(engine, name) for name in tensors if name != inputs[0]),
            tuple(_range(engine, inputs[0], shape, index) for index in range(engine.num_optimization_profiles)),
        )

    def profile_for(self, size: Size | None) -> int:
        """Index of the profile tuned for this size, else of the widest; None: the widest. Raises EngineError."""
        widest = max(range(len(self.profiles)), key=lambda index: _area(self.profiles[index].largest))
        if size is None:
            return widest
        fitting = [index for index, profile in enumerate(self.profiles) if profile.contains(size)]
        if not fitting:
            largest = self.profiles[widest].largest
            raise EngineError(
                f"the engine was built for inputs up to {largest.width}x{largest.height}; it cannot run "
                f"{size.width}x{size.height}"
            )
        own = [index for index in fitting if self.profiles[index] == SizeRange(size, size)]
        return own[0] if own else widest if widest in fitting else fitting[0]


def _tensor(engine: Any, name: str) -> IoTensor:
    kind = engine.get_tensor_dtype(name).name
    if kind not in _KINDS:
        raise EngineError(f"the engine's tensor '{name}' has type {kind}; supported: {', '.join(_KINDS)}")
    return IoTensor(name, _KINDS[kind])


def _range(engine: Any, image: str, shape: Sequence[int], index: int) -> SizeRange:
    if _DYNAMIC not in shape:
        return SizeRange(_size(shape), _size(shape))
    smallest, _, largest = engine.get_tensor_profile_shape(image, index)
    return SizeRange(_size(tuple(smallest)), _size(tuple(largest)))


def _size(shape: Sequence[int]) -> Size:
    return Size(shape[3], shape[2])


def _area(size: Size) -> int:
    return size.width * size.height
