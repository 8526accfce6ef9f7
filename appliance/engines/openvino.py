"""OpenVINO: one network, compiled once for each input size that cameras need.

The network takes the letterboxed picture as it is, (1, height, width, 3) u8: conversion and scaling to 0-1 are part of
the compiled graph. As many inferences run side by side as OpenVINO finds best, each on the thread that asks for it,
without the GIL; why this is not an AsyncInferQueue is in docs/decisions/0004.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from appliance.errors import EngineError
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

_MOST_SLOTS = 8
"""Inferences side by side; a small box does best with one to four."""


class OpenVINOEngine:
    """An Engine on CPU, GPU, NPU or AUTO.

    `sizes`: how many input sizes stay compiled; the one unused for longest goes first. Raises EngineError when the
    device is not there (engine_device_missing) or the network cannot be loaded (engine_failed).
    """

    name = "openvino"

    def __init__(
        self,
        network: Path,
        *,
        device: str = "CPU",
        precision: str = "",
        threads: int = 0,
        hint: str = "throughput",
        sizes: int = 4,
    ) -> None:
        os.environ.setdefault("OPENVINO_TELEMETRY_CONSENT", "0")  # the box tells nobody anything
        import openvino

        self._core = openvino.Core()
        present = self._core.available_devices
        if device != "AUTO" and not device.startswith("AUTO:") and device.partition(".")[0] not in {
            name.partition(".")[0] for name in present
        }:  # fmt: skip
            raise EngineError(
                f"OpenVINO finds no {device} here, only {', '.join(present)}; set engine.device",
                "engine_device_missing",
            )
        try:
            self._model = _with_preprocessing(openvino, self._core.read_model(network))
        except (RuntimeError, IndexError) as error:  # the latter where it has not the inputs of a network for pictures
            raise EngineError(f"{network} cannot be loaded: {_last_line(error)}") from None
        self.device = device
        self._options: dict[str, Any] = {"PERFORMANCE_HINT": hint.upper()}
        if precision:
            self._options["INFERENCE_PRECISION_HINT"] = precision
        if device == "CPU" and threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self.precision = precision or "auto"
        self.slots = 1
        self._most = sizes
        self._prepared: OrderedDict[Size, _Prepared] = OrderedDict()
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        self._closed = False

    def prepare(self, size: Size) -> None:
        """Compile for this input size if it is not (about 0.3 s on two x86 cores). Raises EngineError."""
        self._get(size)

    def infer(self, tensor: Tensor, read: Callable[[Raw], T]) -> T:
        """Wait for a free request, run the network with it, and `read` its output where it lies."""
        free = self._get(Size(tensor.shape[1], tensor.shape[0])).free
        request = free.get()
        try:
            self._check_open()
            _run(request, tensor)
            return read(request.get_output_tensor(0).data[0])
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

    def _get(self, size: Size) -> _Prepared:
        """The compiled network for a size, which is now the one used last. What runs on an evicted one still ends."""
        self._check_open()
        with self._lock:
            if size in self._prepared:
                self._prepared.move_to_end(size)
                return self._prepared[size]
        with self._compiling:
            if size in self._prepared:
                return self._prepared[size]
            prepared = self._compile(size)
            with self._lock:
                self._prepared[size] = prepared
                while len(self._prepared) > self._most:
                    self._prepared.popitem(last=False)
            return prepared

    def _compile(self, size: Size) -> _Prepared:
        try:
            model = self._model.clone()
            model.reshape([1, size.height, size.width, 3])
            compiled = self._core.compile_model(model, self.device, self._options)
            best = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            self.slots = min(_MOST_SLOTS, max(self.slots, best))
            self.precision = _precision(compiled) or self.precision
            return _Prepared(compiled, self.slots)
        except RuntimeError as error:
            raise EngineError(
                f"cannot compile the model for {self.device} at {size.width}x{size.height}: {_last_line(error)}"
            ) from None


class _Prepared:
    """The network compiled for one input size: its requests that are free."""

    def __init__(self, compiled: Any, slots: int) -> None:
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
        raise EngineError(f"inference failed: {_last_line(error)}") from error


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


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
