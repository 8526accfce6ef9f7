"""The part of CUDA that the TensorRT engine needs, through NVIDIA's bindings: a stream, events, host and GPU memory.

Rules of this file:
- Every failed call raises EngineError with the driver's message.
- Copies are asynchronous: a copy is complete when the stream has passed it, not when the call returns.
- Bindings before 12.9.1 hold the GIL while they wait for the GPU, and the oldest ones have a different module layout.
  The extra `tensorrt` requires newer ones.
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
    """The properties of a GPU that an engine depends on."""

    name: str
    compute: str
    """Compute capability, such as `8.7`."""
    multiprocessors: int


class Cuda:
    """The first GPU. Raises EngineError: engine_device_missing without a GPU, engine_failed without the bindings."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError:
            raise EngineError(
                "NVIDIA's CUDA bindings are not installed; pip install 'edge-detection-appliance[tensorrt]'"
            ) from None
        self.runtime: Any = runtime
        try:
            count = self.call(runtime.cudaGetDeviceCount)
        except (EngineError, RuntimeError) as error:  # RuntimeError: there is no driver
            raise EngineError(f"no usable NVIDIA GPU: {error}", "engine_device_missing") from None
        if not count:
            raise EngineError("no NVIDIA GPU found", "engine_device_missing")

    def gpu(self) -> Gpu:
        """Its properties."""
        found = self.call(self.runtime.cudaGetDeviceProperties, 0)
        return Gpu(found.name.decode(errors="replace"), f"{found.major}.{found.minor}", int(found.multiProcessorCount))

    def new_stream(self) -> Any:
        """A queue of work that completes in order. TensorRT takes it as an `int`."""
        return self.call(self.runtime.cudaStreamCreateWithFlags, self.runtime.cudaStreamNonBlocking)

    def wait_for_stream(self, stream: Any) -> None:
        """Block until all queued work is complete."""
        self.call(self.runtime.cudaStreamSynchronize, stream)

    def free_stream(self, stream: Any) -> None:
        self.call(self.runtime.cudaStreamDestroy, stream)

    def new_event(self) -> Any:
        """An event that a waiting thread sleeps on instead of spinning."""
        flags = self.runtime.cudaEventBlockingSync | self.runtime.cudaEventDisableTiming
        return self.call(self.runtime.cudaEventCreateWithFlags, flags)

    def record_event(self, event: Any, stream: Any) -> None:
        """Queue the event behind all work now in the stream."""
        self.call(self.runtime.cudaEventRecord, event, stream)

    def wait_for_event(self, event: Any) -> None:
        """Block, without the GIL, until the stream has passed the event."""
        self.call(self.runtime.cudaEventSynchronize, event)

    def free_event(self, event: Any) -> None:
        self.call(self.runtime.cudaEventDestroy, event)

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a function of the runtime and return its value. Raises EngineError when it fails."""
        error, *values = function(*arguments)
        if int(error):
            _, text = self.runtime.cudaGetErrorString(error)
            raise EngineError(f"CUDA failed: {text.decode(errors='replace')} ({function.__name__})")
        return values[0] if values else None


class MirroredBuffer:
    """A buffer on the GPU with a mirror on the host, pinned so that the GPU can copy while the CPU works."""

    def __init__(self, cuda: Cuda, size_bytes: int) -> None:
        self._cuda, self.size_bytes = cuda, size_bytes
        self._host = int(cuda.call(cuda.runtime.cudaMallocHost, size_bytes))
        try:
            self.address = int(cuda.call(cuda.runtime.cudaMalloc, size_bytes))
            """GPU address."""
        except EngineError:
            cuda.call(cuda.runtime.cudaFreeHost, self._host)
            raise
        self._bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(self._host))

    def array(self, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        """The beginning of the host buffer as an array."""
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
        """Free both buffers. No queued work and no array may use them any more."""
        self._cuda.call(self._cuda.runtime.cudaFree, self.address)
        self._cuda.call(self._cuda.runtime.cudaFreeHost, self._host)
