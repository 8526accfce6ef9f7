"""CUDA as the TensorRT engine needs it, through NVIDIA's own bindings: one stream, events, memory on both sides.

Rules of this file:
- Every call that fails raises EngineError, in the driver's own words.
- A copy between the two sides is done when the stream has come past it, not when the call returns.
- Bindings older than 12.9.1 keep the GIL while they wait for the GPU, and the oldest have another layout: the extra
  `tensorrt` asks for newer ones.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import EngineError


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, as far as an engine is tied to it."""

    name: str
    compute: str
    """Compute capability: `8.7`."""
    multiprocessors: int


class Cuda:
    """The first GPU. Raises EngineError: engine_device_missing where there is none, engine_failed without bindings."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError:
            raise EngineError(
                "NVIDIA's CUDA bindings are not installed; pip install 'edge-detection-appliance[tensorrt]'"
            ) from None
        self.runtime: Any = runtime
        try:
            found = self.call(runtime.cudaGetDeviceCount)
        except (EngineError, RuntimeError) as error:  # the latter where there is no driver at all
            raise EngineError(f"no NVIDIA GPU can be used here: {error}", "engine_device_missing") from None
        if not found:
            raise EngineError("there is no NVIDIA GPU here", "engine_device_missing")

    def gpu(self) -> Gpu:
        """What it is."""
        told = self.call(self.runtime.cudaGetDeviceProperties, 0)
        return Gpu(told.name.decode(errors="replace"), f"{told.major}.{told.minor}", int(told.multiProcessorCount))

    def new_stream(self) -> Any:
        """A queue of work, which ends in the order in which it was put there; `int` of it is what TensorRT takes."""
        return self.call(self.runtime.cudaStreamCreateWithFlags, self.runtime.cudaStreamNonBlocking)

    def wait_for_stream(self, stream: Any) -> None:
        """Until all that was put there has been done."""
        self.call(self.runtime.cudaStreamSynchronize, stream)

    def free_stream(self, stream: Any) -> None:
        self.call(self.runtime.cudaStreamDestroy, stream)

    def new_event(self) -> Any:
        """A mark in a stream; who waits for it sleeps, and does not spin."""
        flags = self.runtime.cudaEventBlockingSync | self.runtime.cudaEventDisableTiming
        return self.call(self.runtime.cudaEventCreateWithFlags, flags)

    def mark(self, event: Any, stream: Any) -> None:
        """Put it behind all that is in the stream now."""
        self.call(self.runtime.cudaEventRecord, event, stream)

    def wait_for_event(self, event: Any) -> None:
        """Until the stream has come past its mark. Other threads run meanwhile."""
        self.call(self.runtime.cudaEventSynchronize, event)

    def free_event(self, event: Any) -> None:
        self.call(self.runtime.cudaEventDestroy, event)

    def call(self, function: Any, *arguments: Any) -> Any:
        """What a function of the runtime gives back behind its error. Raises EngineError."""
        error, *values = function(*arguments)
        if int(error):
            _, text = self.runtime.cudaGetErrorString(error)
            raise EngineError(f"CUDA failed: {text.decode(errors='replace')} ({function.__name__})")
        return values[0] if values else None


class Memory:
    """The same number of bytes on both sides: pinned on the host, so that the GPU copies while the CPU works."""

    def __init__(self, cuda: Cuda, size_bytes: int) -> None:
        self._cuda, self.size_bytes = cuda, size_bytes
        self._host = int(cuda.call(cuda.runtime.cudaMallocHost, size_bytes))
        try:
            self.address = int(cuda.call(cuda.runtime.cudaMalloc, size_bytes))
            """On the GPU."""
        except EngineError:
            cuda.call(cuda.runtime.cudaFreeHost, self._host)
            raise
        self._bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(self._host))

    def array(self, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        """The host's side, its first bytes, as an array."""
        used = math.prod(shape) * np.dtype(kind).itemsize
        array: NDArray[Any] = self._bytes[:used].view(kind).reshape(shape)
        return array

    def to_gpu(self, size_bytes: int, stream: Any) -> None:
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda.call(self._cuda.runtime.cudaMemcpyAsync, self.address, self._host, size_bytes, kind, stream)

    def from_gpu(self, size_bytes: int, stream: Any) -> None:
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.call(self._cuda.runtime.cudaMemcpyAsync, self._host, self.address, size_bytes, kind, stream)

    def free(self) -> None:
        """Nothing in any stream may use it any more, nor its array."""
        self._cuda.call(self._cuda.runtime.cudaFree, self.address)
        self._cuda.call(self._cuda.runtime.cudaFreeHost, self._host)
