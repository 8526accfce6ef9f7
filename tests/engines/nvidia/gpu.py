"""A simulated GPU that enforces CUDA's rules, with the runtime functions of NVIDIA's Python bindings.

Queued work runs only when a thread waits for the stream, so that a premature read returns NaN. GPU memory is accessible
only by copies. A violation raises RuleBroken and is also recorded in `broken`, in case the exception is swallowed.

The rules, according to CUDA's documentation: the host side of an asynchronous copy is pinned memory; work stays inside
allocated memory; memory, events and streams are freed only when no queued work uses them, and all are freed at the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

WAIT_S = 30
_POISON = 0xFF
"""Four of these bytes are a NaN."""


class RuleBroken(AssertionError):
    """A violated rule of CUDA or TensorRT."""


class CudaError(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100


class CopyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


@dataclass(frozen=True)
class Work:
    """Queued work. `uses`: addresses."""

    do: Callable[[], None]
    uses: frozenset[int]
    owner: object = None


@dataclass
class Stream:
    handle: int
    queued: deque[Work] = field(default_factory=deque)
    put: int = 0
    """Total number of work items queued so far."""

    def __int__(self) -> int:
        return self.handle

    @property
    def done(self) -> int:
        return self.put - len(self.queued)


@dataclass(eq=False)
class Event:
    stream: Stream | None = None
    after: int = 0


class Gpu:
    """One GPU. `free_bytes`: free GPU memory."""

    def __init__(
        self, name: str = "Orin", compute: tuple[int, int] = (8, 7), multiprocessors: int = 8, free_bytes: int = 1 << 30
    ) -> None:
        self.name, self.compute, self.multiprocessors = name, compute, multiprocessors
        self.free_bytes = free_bytes
        self.refuses_frames = 0
        """Number of next frames to reject."""
        self.broken: list[str] = []
        self.lock = threading.RLock()
        self._more = threading.Condition(self.lock)
        self.host: dict[int, NDArray[np.uint8]] = {}
        self.device: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, Stream] = {}
        self.events: list[Event] = []
        self._next = 0x7F00_0000_0000
        self._goes_on = threading.Event()
        self._goes_on.set()

    def hold(self) -> None:
        """Run no work until `release`."""
        self._goes_on.clear()

    def release(self) -> None:
        self._goes_on.set()

    def breaks(self, rule: str) -> RuleBroken:
        self.broken.append(rule)
        return RuleBroken(rule)

    def stream(self, handle: object) -> Stream:
        found = self.streams.get(int(handle))  # type: ignore[call-overload]
        if found is None:
            raise self.breaks(f"{handle} is not a stream of this GPU; the default stream blocks all others")
        assert isinstance(found, Stream)
        return found

    def at(self, memory: dict[int, NDArray[np.uint8]], address: int, size_bytes: int) -> NDArray[np.uint8]:
        """Allocated memory of sufficient size."""
        found = memory.get(address)
        if found is None:
            side = "pinned host memory" if memory is self.host else "GPU memory"
            raise self.breaks(f"{address:#x} is not {side}")
        if found.size < size_bytes:
            raise self.breaks(f"{size_bytes} bytes used of {found.size} allocated")
        return found[:size_bytes]

    def enqueue(self, stream: Stream, do: Callable[[], None], uses: Collection[int], owner: object = None) -> None:
        stream.queued.append(Work(do, frozenset(uses), owner))
        stream.put += 1
        self._more.notify_all()

    def wait_until_queued(self, count: int) -> bool:
        """Wait until this many work items are queued at once."""
        with self._more:
            return self._more.wait_for(lambda: len(self.queued()) >= count, WAIT_S)

    def queued(self) -> list[Work]:
        return [work for stream in self.streams.values() for work in stream.queued]

    def run(self, stream: Stream, until: int) -> None:
        """Run the stream's queued work, as when a thread waits for it."""
        if not self._goes_on.wait(WAIT_S):
            raise TimeoutError("the GPU was held and never released")
        with self.lock:
            while stream.queued and stream.done < until:
                stream.queued[0].do()
                stream.queued.popleft()

    def new_address(self) -> int:
        self._next += 1 << 20
        return self._next

    def check_all_is_free(self) -> None:
        left = [*self.host, *self.device, *self.streams, *self.events]
        assert not left, f"never freed: {left}"
        assert not self.broken, self.broken


class Runtime:
    """The functions of `cuda.bindings.runtime`; each returns its error first."""

    def __init__(self, gpu: Gpu | None) -> None:
        self._gpu = gpu

    @property
    def gpu(self) -> Gpu:
        assert self._gpu is not None
        return self._gpu

    def cudaGetDeviceCount(self) -> tuple[CudaError, int | None]:
        return (CudaError.cudaErrorNoDevice, None) if self._gpu is None else (CudaError.cudaSuccess, 1)

    def cudaGetErrorString(self, error: CudaError) -> tuple[CudaError, bytes]:
        return CudaError.cudaSuccess, {2: b"out of memory", 100: b"no CUDA-capable device is detected"}[error]

    def cudaGetDeviceProperties(self, device: int) -> tuple[CudaError, Any]:
        major, minor = self.gpu.compute
        properties = SimpleNamespace(
            name=self.gpu.name.encode(), major=major, minor=minor, multiProcessorCount=self.gpu.multiprocessors
        )
        return CudaError.cudaSuccess, properties

    def cudaMalloc(self, size: int) -> tuple[CudaError, int | None]:
        with self.gpu.lock:
            if size > self.gpu.free_bytes:
                return CudaError.cudaErrorMemoryAllocation, None
            self.gpu.free_bytes -= size
            address = self.gpu.new_address()
            self.gpu.device[address] = np.full(size, _POISON, np.uint8)
        return CudaError.cudaSuccess, address

    def cudaMallocHost(self, size: int) -> tuple[CudaError, int]:
        memory = np.full(size, _POISON, np.uint8)
        address = memory.ctypes.data
        self.gpu.host[address] = memory
        return CudaError.cudaSuccess, address

    def cudaFree(self, devPtr: int) -> tuple[CudaError]:
        with self.gpu.lock:
            self.gpu.free_bytes += self._free(self.gpu.device, devPtr)
        return (CudaError.cudaSuccess,)

    def cudaFreeHost(self, ptr: int) -> tuple[CudaError]:
        with self.gpu.lock:
            self._free(self.gpu.host, ptr)
        return (CudaError.cudaSuccess,)

    def _free(self, memory: dict[int, NDArray[np.uint8]], address: int) -> int:
        if any(address in work.uses for work in self.gpu.queued()):
            raise self.gpu.breaks("memory freed while queued work uses it")
        size = self.gpu.at(memory, address, 0).base
        del memory[address]
        return 0 if size is None else size.nbytes

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[CudaError, Stream]:
        stream = Stream(self.gpu.new_address())
        self.gpu.streams[stream.handle] = stream
        return CudaError.cudaSuccess, stream

    def cudaStreamSynchronize(self, stream: Stream) -> tuple[CudaError]:
        self.gpu.run(self.gpu.stream(stream), stream.put)
        return (CudaError.cudaSuccess,)

    def cudaStreamDestroy(self, stream: Stream) -> tuple[CudaError]:
        if self.gpu.stream(stream).queued:
            raise self.gpu.breaks("stream destroyed while work is queued")
        del self.gpu.streams[stream.handle]
        return (CudaError.cudaSuccess,)

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[CudaError, Event]:
        self.gpu.events.append(Event())
        return CudaError.cudaSuccess, self.gpu.events[-1]

    def cudaEventRecord(self, event: Event, stream: Stream) -> tuple[CudaError]:
        with self.gpu.lock:
            event.stream, event.after = self.gpu.stream(stream), stream.put
        return (CudaError.cudaSuccess,)

    def cudaEventSynchronize(self, event: Event) -> tuple[CudaError]:
        if event.stream is not None:
            self.gpu.run(event.stream, event.after)
        return (CudaError.cudaSuccess,)

    def cudaEventDestroy(self, event: Event) -> tuple[CudaError]:
        if event.stream is not None and event.stream.done < event.after:
            raise self.gpu.breaks("event destroyed before its stream has passed it")
        self.gpu.events.remove(event)
        return (CudaError.cudaSuccess,)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: CopyKind, stream: Stream) -> tuple[CudaError]:
        gpu = self.gpu
        with gpu.lock:
            to_host = kind is CopyKind.cudaMemcpyDeviceToHost
            target = gpu.at(gpu.host if to_host else gpu.device, dst, count)
            source = gpu.at(gpu.device if to_host else gpu.host, src, count)
            if to_host:
                target[:] = _POISON

            def copy() -> None:
                target[:] = source

            gpu.enqueue(gpu.stream(stream), copy, (dst, src))
        return (CudaError.cudaSuccess,)


def runtime_module(gpu: Gpu | None, constants: dict[str, int]) -> ModuleType:
    """The module for `from cuda.bindings import runtime`; `gpu` None: a machine without a GPU."""
    module, functions = ModuleType("cuda.bindings.runtime"), Runtime(gpu)
    for name in (name for name in dir(functions) if name.startswith("cuda")):
        setattr(module, name, getattr(functions, name))
    for name, value in constants.items():
        setattr(module, name, value)
    module.cudaMemcpyKind = CopyKind  # type: ignore[attr-defined]
    return module
