"""TensorRT: one engine, one execution context for each optimisation profile, one stream, two buffer sets.

Rules of this file:
- One stream keeps the order: copy to the GPU, inference, copies back, event. While the GPU computes one frame, the next
  one is written to the pinned memory of the other buffer set and queued, so that the GPU never waits between frames.
- Each profile has one context for its whole life. No profile is switched while work is queued, and no two contexts
  share a profile, which TensorRT 8.6 does not allow.
- One thread at a time uses a context, under `_queueing`: its shapes and addresses are those of the frame being queued.
  Work that is already queued keeps its own.
- The host touches a buffer only when no queued work uses it: a buffer set belongs to one frame until its event.
- Release in this order: contexts, once the stream is empty; engine; runtime; memory and events; stream.

The CPU converts the image (u8 to 0-1, HWC to CHW) while it writes to pinned memory. Whether the GPU would be faster has
not been measured.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from appliance.engines.tensorrt import engine_files, versions
from appliance.engines.tensorrt.cuda import Cuda, MirroredBuffer
from appliance.engines.tensorrt.signature import IoTensor, Signature
from appliance.errors import EngineError
from appliance.models import engine_file
from appliance.models.engine_file import BuiltFor
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

_SLOTS = 2
_DEVICES = ("CPU", "GPU", "GPU.0")
"""Accepted values of `engine.device`. CPU is the default, and what the stand-in uses while an engine is built."""


class TensorRTEngine:
    """An Engine on the first NVIDIA GPU. `network`: an ONNX file. `cache`: the folder of engines built on this device.

    `sizes`: input sizes that the engine must be tuned for. Raises EngineError: engine_device_missing, engine_failed;
    NotBuilt when no engine file fits this device.
    """

    name = "tensorrt"
    reads = (".onnx",)
    built_ahead = True
    slots = _SLOTS

    def __init__(
        self,
        network: Path,
        *,
        device: str = "CPU",
        precision: str = "",
        cache: Path | None = None,
        sizes: tuple[Size, ...] = (),
        **_ignored: Any,
    ) -> None:
        if device not in _DEVICES:
            raise EngineError(f'TensorRT runs on the first GPU only, not on {device}; set engine.device = "GPU"')
        tensorrt = versions.load()
        self._cuda = Cuda()  # first: without a driver TensorRT's runtime ends the process
        gpu = self._cuda.gpu()
        self.device = f"GPU {gpu.name}"
        self.precision = versions.choose_precision(tensorrt, precision)
        here = BuiltFor(
            gpu.name, gpu.compute, gpu.multiprocessors, tensorrt.__version__, self.precision, _digest(network),
            tuple(f"{size.width}x{size.height}" for size in sizes),
        )  # fmt: skip
        can_build = versions.can_build(tensorrt)
        file = engine_files.find(network, cache, here, can_build=can_build)
        self._log = versions.new_log(tensorrt)
        self._runtime = tensorrt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(_read(file))
        if self._engine is None:
            why = f"{file.name} is damaged ({self._log.last_error})"
            raise engine_files.not_built(network, cache, here, why, can_build=can_build)
        self._signature = Signature.of(tensorrt, self._engine)
        self._stream = self._cuda.new_stream()
        self._free: SimpleQueue[_Buffers] = SimpleQueue()
        for _ in range(_SLOTS):
            self._free.put(_Buffers(self._cuda))
        self._contexts: dict[int, Any] = {}
        """Execution context by profile."""
        self._profiles: dict[Size | None, int] = {}
        """Profile by prepared size."""
        self._queueing = threading.Lock()
        self._preparing = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False

    def prepare(self, size: Size | None) -> bool:
        """Create the context for this size; nothing is compiled. Raises EngineError when no profile covers the size."""
        with self._preparing:
            self._check_open()
            profile = self._signature.profile_for(size)
            context = self._contexts.get(profile) or self._new_context(profile)
            with self._queueing:
                self._contexts[profile] = context
                self._profiles[size] = profile
        return False

    def ready(self) -> tuple[Size | None, ...]:
        with self._queueing:
            return tuple(self._profiles)

    def drop(self, size: Size | None) -> None:
        with self._preparing, self._queueing:
            profile = self._profiles.pop(size, None)
            if profile is not None and profile not in self._profiles.values():
                self._cuda.wait_for_stream(self._stream)
                del self._contexts[profile]

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Queue a frame and wait for it while another thread writes or reads the next one.

        `all_cores` has no effect: a frame always gets the whole GPU.
        """
        buffers = self._free.get()
        try:
            self._check_open()
            buffers.write(self._signature.image, tensor)
            while (outputs := self._queue(buffers, Size(tensor.shape[1], tensor.shape[0]))) is None:
                self.prepare(None)
            self._cuda.wait_for_event(buffers.event)
            return read(outputs)
        finally:
            self._free.put(buffers)

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            all_buffers = [self._free.get() for _ in range(_SLOTS)]  # waits for running frames
            try:
                with self._preparing, self._queueing:
                    self._cuda.wait_for_stream(self._stream)
                    self._profiles.clear()
                    self._contexts.clear()
                    self._engine = None
                    self._runtime = None
                    for buffers in all_buffers:
                        buffers.free()
                    self._cuda.free_stream(self._stream)
            finally:
                for buffers in all_buffers:  # threads that wait for one then see that the engine is closed
                    self._free.put(buffers)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")

    def _new_context(self, profile: int) -> Any:
        context = self._engine.create_execution_context()
        if context is None or not context.set_optimization_profile_async(profile, int(self._stream)):
            raise EngineError(f"TensorRT cannot create an execution context: {self._log.last_error}")
        return context

    def _queue(self, buffers: _Buffers, size: Size) -> Raw | None:
        """Queue a frame's work. Returns its outputs, valid after the event; None: no profile is prepared for it."""
        with self._queueing:
            profile = self._profiles.get(size, self._profiles.get(None))
            if profile is None:
                return None
            try:
                return self._queue_on(self._contexts[profile], buffers, size)
            except BaseException:
                self._cuda.wait_for_stream(self._stream)  # work already queued uses its memory
                raise

    def _queue_on(self, context: Any, buffers: _Buffers, size: Size) -> Raw:
        image, shape = self._signature.image, (1, 3, size.height, size.width)
        self._must(context.set_input_shape(image.name, shape))
        source = buffers.of(image, shape)
        self._must(context.set_tensor_address(image.name, source.address))
        results = []
        for output in self._signature.outputs:
            output_shape = tuple(context.get_tensor_shape(output.name))
            if min(output_shape) < 0:
                raise EngineError(f"the size of output '{output.name}' is data-dependent; export the model without NMS")
            results.append((output, output_shape, buffers.of(output, output_shape)))
            self._must(context.set_tensor_address(output.name, results[-1][2].address))
        source.to_gpu(image.bytes_of(shape), self._stream)
        self._must(context.execute_async_v3(int(self._stream)))
        for output, output_shape, memory in results:
            memory.from_gpu(output.bytes_of(output_shape), self._stream)
        self._cuda.record_event(buffers.event, self._stream)
        return tuple(memory.array(output_shape, output.kind)[0] for output, output_shape, memory in results)

    def _must(self, succeeded: bool) -> None:
        if not succeeded:
            raise EngineError(f"TensorRT failed: {self._log.last_error}")


class _Buffers:
    """Memory for one frame, grown to the largest frame so far, and the event behind its work."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.event = cuda.new_event()
        self._memory: dict[str, MirroredBuffer] = {}

    def of(self, tensor: IoTensor, shape: Sequence[int]) -> MirroredBuffer:
        """Memory for this tensor, enlarged if needed."""
        size_bytes, known = tensor.bytes_of(shape), self._memory.get(tensor.name)
        if known is not None and known.size_bytes >= size_bytes:
            return known
        if known is not None:
            del self._memory[tensor.name]
            known.free()
        self._memory[tensor.name] = MirroredBuffer(self._cuda, size_bytes)
        return self._memory[tensor.name]

    def write(self, image: IoTensor, tensor: Tensor) -> None:
        """Write the tensor as the network takes it: CHW, 0-1."""
        shape = (1, 3, *tensor.shape[:2])
        into = self.of(image, shape).array(shape, image.kind)[0]
        # Explicit dtype: NumPy 1 would use half precision for u8 times this scalar.
        np.multiply(tensor.transpose(2, 0, 1), 1 / 255, out=into, dtype=np.float32, casting="unsafe")

    def free(self) -> None:
        while self._memory:
            self._memory.popitem()[1].free()
        self._cuda.free_event(self.event)


def _read(file: Path) -> bytes:
    """Read the serialised engine. Raises EngineError."""
    try:
        return engine_file.read_engine(file)
    except OSError as error:
        raise EngineError(f"{file} cannot be read: {error.strerror}") from None


def _digest(network: Path) -> str:
    """The file's sha256. Raises EngineError."""
    try:
        return hashlib.sha256(network.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{network} cannot be loaded: {error.strerror}") from None
