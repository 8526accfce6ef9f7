"""OpenVINO: one network, compiled for each input size that is used much, and once for any size.

The one for a size runs as many inferences side by side as OpenVINO finds best; the one for any size puts all cores on
one. Why there are two kinds is in docs/decisions/0006.

The network takes the letterboxed picture as it is, (1, height, width, 3) u8: conversion and scaling to 0-1 are part of
the compiled graph. An inference runs on the thread that asks for it, without the GIL; why this is not an
AsyncInferQueue is in docs/decisions/0004.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from appliance import heap
from appliance.engines.compiled_files import CompiledFiles
from appliance.errors import EngineError, last_line
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

log = logging.getLogger(__name__)

_NOT_THERE: Any = None
"""What Python takes in `sys.modules` for a module that cannot be imported."""
_MOST_SLOTS = 8
"""Inferences side by side; a small box does best with one to four."""


class OpenVINOEngine:
    """An Engine on CPU, GPU, NPU or AUTO.

    `hint`: throughput or latency, for the networks of one size. `cache`: a folder where what was compiled is kept for
    the next start. Raises EngineError when the device is not there (engine_device_missing) or the network cannot be
    loaded (engine_failed).
    """

    name = "openvino"
    reads = (".xml", ".onnx")

    def __init__(
        self,
        network: Path,
        *,
        device: str = "CPU",
        precision: str = "",
        threads: int = 0,
        hint: str = "throughput",
        cache: Path | None = None,
        **_: Any,
    ) -> None:
        openvino = _import_openvino()
        # Its table of types is filled at the first use, and two threads that do so at once wait for each other with the
        # GIL held (2026.4.1): the first two frames of a process would freeze it.
        openvino.Type.u8.to_dtype()
        self._core = openvino.Core()
        if device != "CPU" and not device.startswith("AUTO"):  # asking loads every plugin, 14 MB that a CPU needs not
            _check_present(device, self._core.available_devices)
        self._network = network
        self._model: Any = self._read()
        self.device = device
        self._hint = hint.upper()
        self._options: dict[str, Any] = {}
        self._kept = CompiledFiles(cache) if cache is not None else None
        if precision:
            self._options["INFERENCE_PRECISION_HINT"] = precision
        if device == "CPU" and threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self.precision = precision or "auto"
        self.slots = 1
        self._prepared: dict[Size | None, _Prepared] = {}
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        self._any_size = True
        self._closed = False

    def prepare(self, size: Size | None) -> bool:
        """Compile for this input size, or for any, if it is not (about 0.4 s on two x86 cores). Raises EngineError.

        Returns whether it was compiled now, and was not in the cache.
        """
        ready = size in self._prepared
        return not (self._get(size).from_cache or ready)

    def ready(self) -> tuple[Size | None, ...]:
        with self._lock:
            return tuple(self._prepared)

    def drop(self, size: Size | None) -> None:
        with self._lock:
            dropped = self._prepared.pop(size, None)
        del dropped
        heap.give_back()  # compiling leaves some 10 MB

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Wait for a free request, run the network with it, and `read` its outputs where they lie."""
        size = Size(tensor.shape[1], tensor.shape[0])
        with self._lock:
            own = None if all_cores else self._prepared.get(size)
        free = (own or self._get_any(size)).free
        request = free.get()
        try:
            self._check_open()
            _run(request, tensor)
            return read(tuple(output.data[0] for output in request.output_tensors))
        finally:
            free.put(request)

    def close(self) -> None:
        self._closed = True
        with self._lock:
            while self._prepared:
                _, prepared = self._prepared.popitem()
                prepared.wait_until_idle()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")

    def _get(self, size: Size | None) -> _Prepared:
        self._check_open()
        with self._lock:
            known = self._prepared.get(size)
        if known is not None:
            return known
        with self._compiling:
            if size in self._prepared:
                return self._prepared[size]
            prepared = self._compile(size)
            with self._lock:
                self._prepared[size] = prepared
            return prepared

    def _get_any(self, size: Size) -> _Prepared:
        """The network for any size; where the device has none (an NPU), that of this size."""
        if self._any_size:
            try:
                return self._get(None)
            except EngineError:
                self._check_open()
                self._any_size = False
        return self._get(size)

    def _read(self) -> Any:
        """The network, not yet compiled: kept for the first size only, and read again for each other."""
        openvino = _import_openvino()
        try:
            return _with_preprocessing(openvino, self._core.read_model(self._network))
        except (RuntimeError, IndexError) as error:  # the latter where it has not the inputs of a network for pictures
            raise EngineError(f"{self._network} cannot be loaded: {last_line(error)}") from None

    def _compile(self, size: Size | None) -> _Prepared:
        try:
            model, self._model = self._model or self._read(), None
            if size is not None:
                model.reshape([1, size.height, size.width, 3])
            compiled = self._compile_or_load(model, size)
            del model
            heap.give_back()  # compiling leaves some 10 MB
            best = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            slots = min(_MOST_SLOTS, best) if size is not None else 1
            self.slots = max(self.slots, slots)
            self.precision = _precision(compiled) or self.precision
            return _Prepared(compiled, slots, _from_cache(compiled))
        except RuntimeError as error:
            shown = "any size" if size is None else f"{size.width}x{size.height}"
            raise EngineError(f"cannot compile the model for {self.device} at {shown}: {last_line(error)}") from None

    def _compile_or_load(self, model: Any, size: Size | None) -> Any:
        """The compiled network, out of the cache if it is there and whole. Raises RuntimeError."""
        options = {**self._options, "PERFORMANCE_HINT": self._hint if size is not None else "LATENCY"}
        if self._kept is None:
            return self._core.compile_model(model, self.device, options)
        shown = "any size" if size is None else f"{size.width}x{size.height}"
        use = f"{self._network.parent.name}/{self._network.name} {shown}".replace("\n", " ")
        try:
            with self._kept.open(use) as folder:
                cached = {**options, "CACHE_DIR": str(folder)} if folder is not None else options
                return self._core.compile_model(model, self.device, cached)
        except RuntimeError as error:  # perhaps the cache's: without it, it either works or says what is wrong
            log.warning("compiling without the cache: %s", last_line(error), extra={"kind": "compiled_files"})
            return self._core.compile_model(model, self.device, options)


def _import_openvino() -> Any:
    """OpenVINO without its converter of foreign models, of which it says itself that it may be missing: less to read at
    the start, 6 MB less in memory, and no telemetry.
    """
    converter = "openvino.tools.ovc"
    hidden = sys.modules.setdefault(converter, _NOT_THERE) is _NOT_THERE
    try:
        import openvino
    finally:
        if hidden:
            sys.modules.pop(converter, None)
    return openvino


def _check_present(device: str, present: list[str]) -> None:
    if device.partition(".")[0] not in {name.partition(".")[0] for name in present}:
        raise EngineError(
            f"OpenVINO finds no {device} here, only {', '.join(present)}; set engine.device", "engine_device_missing"
        )


class _Prepared:
    """The network compiled for one input size, or for any: its requests that are free."""

    def __init__(self, compiled: Any, slots: int, from_cache: bool) -> None:
        self.from_cache = from_cache
        self.free: SimpleQueue[Any] = SimpleQueue()
        self._slots = slots
        for _ in range(slots):
            self.free.put(compiled.create_infer_request())

    def wait_until_idle(self) -> None:
        requests = [self.free.get() for _ in range(self._slots)]
        for request in requests:
            self.free.put(request)


def _run(request: Any, tensor: Tensor) -> None:
    try:
        # Shared: the request reads the picture where it lies, and its output is read where it lies.
        request.infer({0: tensor[None]}, share_inputs=True, share_outputs=True)
    except RuntimeError as error:
        raise EngineError(f"inference failed: {last_line(error)}") from error


def _with_preprocessing(openvino: Any, model: Any) -> Any:
    """The network with u8 NHWC RGB in front of it, as Ultralytics' networks want it: f32, 0-1, NCHW."""
    from openvino.preprocess import PrePostProcessor

    shape = model.input(0).partial_shape
    steps = PrePostProcessor(model)
    height, width = (-1 if side.is_dynamic else side.get_length() for side in (shape[2], shape[3]))
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_shape(
        [1, height, width, 3]
    )
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()


def _precision(compiled: Any) -> str | None:
    try:
        return {"f32": "f32", "float32": "f32", "f16": "f16", "float16": "f16", "bf16": "bf16", "bfloat16": "bf16"}.get(
            compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        )
    except (RuntimeError, AttributeError):
        return None  # not every device says


def _from_cache(compiled: Any) -> bool:
    try:
        return bool(compiled.get_property("LOADED_FROM_CACHE"))
    except RuntimeError:
        return False  # not every device says
