"""OpenVINO: one network, compiled once for each input size that cameras need.

The network takes the letterboxed picture as it is, (1, height, width, 3) u8: conversion and scaling to 0-1 are part of
the compiled graph. Answers come through an AsyncInferQueue, on a thread of OpenVINO's own.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from appliance.errors import EngineError
from appliance.ports import Raw, T, Tensor
from appliance.values import Size


_LETTING_GO_S = 0.1


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
        self._queues: OrderedDict[Size, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        self._starting = threading.Lock()
        self._make_queue = openvino.AsyncInferQueue

    def prepare(self, size: Size) -> None:
        """Compile for this input size if it is not (about 0.3 s on two x86 cores). Raises EngineError."""
        retired = []
        with self._lock:
            if size in self._queues:
                self._queues.move_to_end(size)
                return
        with self._compiling:
            if size in self._queues:
                return
            queue = self._compile(size)
            with self._starting, self._lock:
                self._queues[size] = queue
                while len(self._queues) > self._most:
                    retired.append(self._queues.popitem(last=False)[1])
        _release(retired)

    def infer(self, tensor: Tensor, read: Callable[[Raw], T]) -> Future[T]:
        """Start one inference; waits for a free request, so it is called off the event loop."""
        size = Size(tensor.shape[1], tensor.shape[0])
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # whoever gives up waiting must not cancel it under OpenVINO's thread
        batch = tensor[None]
        # One at a time: start_async picks an idle request and then fills it, and two threads could pick the same one.
        with self._starting:
            with self._lock:
                queue = self._queues.get(size)
                if queue is None:
                    raise EngineError(f"input {size.width}x{size.height} was not prepared")
                self._queues.move_to_end(size)
            try:
                # The job keeps the tensor alive: the request reads it where it lies instead of copying it.
                queue.start_async({0: batch}, (future, read, batch), share_inputs=True)
            except RuntimeError as error:
                raise EngineError(f"inference did not start: {_last_line(error)}") from None
        return future

    def close(self) -> None:
        with self._starting, self._lock:
            queues = list(self._queues.values())
            self._queues.clear()
        _release(queues)

    def _compile(self, size: Size) -> Any:
        try:
            model = self._model.clone()
            model.reshape([1, size.height, size.width, 3])
            compiled = self._core.compile_model(model, self.device, self._options)
            self.slots = max(self.slots, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
            self.precision = _precision(compiled) or self.precision
        except RuntimeError as error:
            raise EngineError(
                f"cannot compile the model for {self.device} at {size.width}x{size.height}: {_last_line(error)}"
            ) from None
        queue = self._make_queue(compiled, self.slots)
        queue.set_callback(_finish)
        return queue


def _finish(request: Any, job: tuple[Future[Any], Callable[[Raw], Any], Tensor]) -> None:
    future, read, _ = job
    try:
        future.set_result(read(request.get_output_tensor(0).data[0]))
    except Exception as error:  # noqa: BLE001  # it belongs to whoever waits for the future, not to OpenVINO's thread
        future.set_exception(error)


def _release(queues: list[Any]) -> None:
    """Let go of queues, when they have given their last answers."""
    for queue in queues:
        queue.wait_all()  # freed under a request that runs, it would never answer it
    if queues:
        # After an answer OpenVINO's thread wants the GIL once more, to free its callback. Freeing the queue waits for
        # that thread with the GIL held: at the same moment that is for ever (seen on a busy machine, once in 300).
        time.sleep(_LETTING_GO_S)


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
