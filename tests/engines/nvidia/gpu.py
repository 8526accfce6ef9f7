"""A GPU that holds CUDA's rules, and the runtime's functions for it as NVIDIA's Python bindings have them.

It does what lies in a stream when somebody waits for it, never before: who reads too early reads nothing but NaN.
Memory of the GPU cannot be touched but by copies. What breaks a rule raises RuleBroken, and is remembered in `broken`
for where that is swallowed.

The rules, by CUDA's documents: an asynchronous copy has pinned memory on the host's side; work stays inside the memory
that was allocated; memory, events and streams are freed when nothing that is queued uses them, and all are freed at
the end.
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
"""Four of them are a NaN."""


class RuleBroken(AssertionError):
    """A rule of CUDA or TensorRT."""


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
    """Something in a stream. `uses`: addresses."""

    do: Callable[[], None]
    uses: frozenset[int]
    owner: object = None


@dataclass
class Stream:
    handle: int
    queued: deque[Work] = field(default_factory=deque)
    put: int = 0
    """How much ever was in it."""

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
    """One GPU. `free_bytes`: of its memory."""

    def __init__(
        self, name: str = "Orin", compute: tuple[int, int] = (8, 7), multiprocessors: int = 8, free_bytes: int = 1 << 30
    ) -> None:
        self.name, self.compute, self.multiprocessors = name, compute, multiprocessors
        self.free_bytes = free_bytes
        self.refuses_frames = 0
        """So many of the next ones."""
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
        """From now on nothing is ever done, until `release`."""
        self._goes_on.clear()

    def release(self) -> None:
        self._goes_on.set()

    def breaks(self, rule: str) -> RuleBroken:
        self.broken.append(rule)
        return RuleBroken(rule)

    def stream(self, handle: object) -> Stream:
        found = self.streams.get(int(handle))  # type: ignore[call-overload]
        if found is None:
            raise self.breaks(f"{handle} is no stream of this GPU: the default one makes all others wait")
        assert isinstance(found, Stream)
        return found

    def at(self, memory: dict[int, NDArray[np.uint8]], address: int, size_bytes: int) -> NDArray[np.uint8]:
        """Memory that was allocated and is large enough."""
        found = memory.get(address)
        if found is None:
            side = "pinned memory of the host" if memory is self.host else "memory of the GPU"
            raise self.breaks(f"{address:#x} is no {side}")
        if found.size < size_bytes:
            raise self.breaks(f"{size_bytes} bytes where {found.size} were allocated")
        return found[:size_bytes]

    def enqueue(self, stream: Stream, do: Callable[[], None], uses: Collection[int], owner: object = None) -> None:
        stream.queued.append(Work(do, frozenset(uses), owner))
        stream.put += 1
        self._more.notify_all()

    def wait_until_queued(self, count: int) -> bool:
        """Until so much is queued at once."""
        with self._more:
            return self._more.wait_for(lambda: len(self.queued()) >= count, WAIT_S)

    def queued(self) -> list[Work]:
        return [work for stream in self.streams.values() for work in stream.queued]

    def run(self, stream: Stream, until: int) -> None:
        """Somebody waits: do what lies in the stream, so far."""
        if not self._goes_on.wait(WAIT_S):
            raise TimeoutError("the GPU was held and never let go")
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
    """`cuda.bindings.runtime`: each function gives back its error first."""

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
        told = SimpleNamespace(
            name=self.gpu.name.encode(), major=major, minor=minor, multiProcessorCount=self.gpu.multiprocessors
        )
        return CudaError.cudaSuccess, told

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
            raise self.gpu.breaks("memory is freed that queued work uses")
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
            raise self.gpu.breaks("a stream is destroyed with work in it")
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
            raise self.gpu.breaks("an event is destroyed before its stream has come past it")
        self.gpu.events.remove(event)
        return (CudaError.cudaSuccess,)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: CopyKind, stream: Stream) -> tuple[CudaError]:
        gpu = self.gpu
        with gpu.lock:
            down = kind is CopyKind.cudaMemcpyDeviceToHost
            into = gpu.at(gpu.host if down else gpu.device, dst, count)
            out_of = gpu.at(gpu.device if down else gpu.host, src, count)
            if down:
                into[:] = _POISON

            def copy() -> None:
                into[:] = out_of

            gpu.enqueue(gpu.stream(stream), copy, (dst, src))
        return (CudaError.cudaSuccess,)


def runtime_module(gpu: Gpu | None, constants: dict[str, int]) -> ModuleType:
    """As `from cuda.bindings import runtime` brings it; None: a machine without a GPU."""
    module, functions = ModuleType("cuda.bindings.runtime"), Runtime(gpu)
    for name in (name for name in dir(functions) if name.startswith("cuda")):
        setattr(module, name, getattr(functions, name))
    for name, value in constants.items():
        setattr(module, name, value)
    module.cudaMemcpyKind = CopyKind  # type: ignore[attr-defined]
    return module
