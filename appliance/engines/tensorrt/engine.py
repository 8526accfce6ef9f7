"""TensorRT: one engine, an execution context for each of its optimisation profiles, one stream, two sets of buffers.

Rules of this file:
- One stream keeps the order: a frame's copy to the GPU, its network, its copies back, its mark. While one frame
  computes the next is written into the other set's pinned memory and queued behind it, so the GPU goes from one to the
  next.
- A profile has one context, for life, so that no profile is ever switched while work is queued, and TensorRT 8.6,
  which lets no two contexts share one, is content.
- A context is used by one thread at a time, under `_queueing`: its shapes and addresses are those of the frame that is
  being queued. What is queued already keeps its own.
- Memory is touched by the host only when nothing is queued that uses it: a set belongs to one frame until its mark.
- What goes, goes in this order: contexts, when the stream is empty; the engine; the runtime; memory and marks; the
  stream.

Arithmetic on the picture (u8 to 0-1, colours apart) is done by the CPU on its way into pinned memory: whether the GPU
would be faster was never measured.
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
from appliance.engines.tensorrt.cuda import Cuda, Memory
from appliance.engines.tensorrt.form import Form, IoTensor
from appliance.errors import EngineError
from appliance.models import engine_file
from appliance.models.engine_file import BuiltFor
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

_SLOTS = 2
_DEVICES = ("CPU", "GPU", "GPU.0")
"""What `engine.device` may say. CPU is there where nothing was set, and is what serves while an engine is built."""


class TensorRTEngine:
    """An Engine on the first NVIDIA GPU. `network`: an ONNX file; `cache`: where an engine built of it is kept.

    `sizes`: inputs that it must have been tuned for. Raises EngineError: engine_device_missing, engine_failed; NotBuilt
    where no engine file fits this box.
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
            raise EngineError(f'TensorRT runs on the first GPU here, and not on {device}: set engine.device = "GPU"')
        tensorrt = versions.load()
        self._cuda = Cuda()  # before TensorRT's runtime, which ends the process where there is no driver
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
        self._form = Form.of(tensorrt, self._engine)
        self._stream = self._cuda.new_stream()
        self._free: SimpleQueue[_Buffers] = SimpleQueue()
        for _ in range(_SLOTS):
            self._free.put(_Buffers(self._cuda))
        self._contexts: dict[int, Any] = {}
        """By profile."""
        self._profiles: dict[Size | None, int] = {}
        """Of what is ready."""
        self._queueing = threading.Lock()
        self._preparing = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False

    def prepare(self, size: Size | None) -> bool:
        """Nothing is compiled: the engine file has it, or has it not. Raises EngineError where it has not."""
        with self._preparing:
            self._check_open()
            profile = self._form.profile_for(size)
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
        """Queue a frame and wait for it, while another one is written or read. `all_cores` changes nothing: a frame has
        the whole GPU.
        """
        buffers = self._free.get()
        try:
            self._check_open()
            buffers.write(self._form.image, tensor)
            while (outputs := self._queue(buffers, Size(tensor.shape[1], tensor.shape[0]))) is None:
                self.prepare(None)
            self._cuda.wait_for_event(buffers.mark)
            return read(outputs)
        finally:
            self._free.put(buffers)

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            all_buffers = [self._free.get() for _ in range(_SLOTS)]  # what is running ends
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
                for buffers in all_buffers:  # who waits for one learns that it is over
                    self._free.put(buffers)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")

    def _new_context(self, profile: int) -> Any:
        context = self._engine.create_execution_context()
        if context is None or not context.set_optimization_profile_async(profile, int(self._stream)):
            raise EngineError(f"TensorRT cannot get ready: {self._log.last_error}")
        return context

    def _queue(self, buffers: _Buffers, size: Size) -> Raw | None:
        """Put a frame's work into the stream; gives the outputs, which hold it from the mark on. None: no network is
        ready for it.
        """
        with self._queueing:
            profile = self._profiles.get(size, self._profiles.get(None))
            if profile is None:
                return None
            try:
                return self._queue_on(self._contexts[profile], buffers, size)
            except BaseException:
                self._cuda.wait_for_stream(self._stream)  # what was queued of it uses its memory
                raise

    def _queue_on(self, context: Any, buffers: _Buffers, size: Size) -> Raw:
        image, shape = self._form.image, (1, 3, size.height, size.width)
        self._must(context.set_input_shape(image.name, shape))
        given = buffers.of(image, shape)
        self._must(context.set_tensor_address(image.name, given.address))
        taken = []
        for output in self._form.outputs:
            of_output = tuple(context.get_tensor_shape(output.name))
            if min(of_output) < 0:
                raise EngineError(f"the size of '{output.name}' depends on the picture; export the model without NMS")
            taken.append((output, of_output, buffers.of(output, of_output)))
            self._must(context.set_tensor_address(output.name, taken[-1][2].address))
        given.to_gpu(image.bytes_of(shape), self._stream)
        self._must(context.execute_async_v3(int(self._stream)))
        for output, of_output, memory in taken:
            memory.from_gpu(output.bytes_of(of_output), self._stream)
        self._cuda.mark(buffers.mark, self._stream)
        return tuple(memory.array(of_output, output.kind)[0] for output, of_output, memory in taken)

    def _must(self, done: bool) -> None:
        if not done:
            raise EngineError(f"TensorRT failed: {self._log.last_error}")


class _Buffers:
    """Memory for one frame, as large as the largest so far, and the mark behind its work."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.mark = cuda.new_event()
        self._memory: dict[str, Memory] = {}

    def of(self, tensor: IoTensor, shape: Sequence[int]) -> Memory:
        """Memory for this tensor."""
        size_bytes, known = tensor.bytes_of(shape), self._memory.get(tensor.name)
        if known is not None and known.size_bytes >= size_bytes:
            return known
        if known is not None:
            del self._memory[tensor.name]
            known.free()
        self._memory[tensor.name] = Memory(self._cuda, size_bytes)
        return self._memory[tensor.name]

    def write(self, image: IoTensor, picture: Tensor) -> None:
        """The picture as the network takes it: 0-1, its colours apart."""
        shape = (1, 3, *picture.shape[:2])
        into = self.of(image, shape).array(shape, image.kind)[0]
        # The type is said: NumPy 1 would choose half precision for bytes times this number.
        np.multiply(picture.transpose(2, 0, 1), 1 / 255, out=into, dtype=np.float32, casting="unsafe")

    def free(self) -> None:
        while self._memory:
            self._memory.popitem()[1].free()
        self._cuda.free_event(self.mark)


def _read(file: Path) -> bytes:
    """The engine in it. Raises EngineError."""
    try:
        return engine_file.read_engine(file)
    except OSError as error:
        raise EngineError(f"{file} cannot be read: {error.strerror}") from None


def _digest(network: Path) -> str:
    """sha256 of the file. Raises EngineError."""
    try:
        return hashlib.sha256(network.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{network} cannot be loaded: {error.strerror}") from None
