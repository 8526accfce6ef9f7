"""ONNX Runtime: one session for all input sizes. Needs the extra `onnx`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from appliance.engines.slots import Slots
from appliance.errors import EngineError
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

_ON = {"CPU": ("CPUExecutionProvider",), "GPU": ("CUDAExecutionProvider", "MIGraphXExecutionProvider")}


class OnnxRuntimeEngine:
    """An Engine. `hint`: `latency` runs one frame on all threads, `throughput` several frames on one thread each."""

    name = "onnxruntime"
    precision = "f32"
    reads = (".onnx",)
    built_ahead = False

    def __init__(
        self, network: Path, *, device: str = "CPU", precision: str = "", threads: int = 0, hint: str = "", **_: Any
    ) -> None:
        if precision not in ("", "f32"):
            raise EngineError(f"ONNX Runtime runs in f32 only, not {precision}; set engine.precision")
        try:
            import onnxruntime
        except ImportError:
            raise EngineError("ONNX Runtime is not installed; pip install onnxruntime") from None
        providers = [name for name in _ON.get(device, ()) if name in onnxruntime.get_available_providers()]
        threads = threads or len(os.sched_getaffinity(0))
        self.device, self.slots = device, 1 if hint == "latency" else threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // self.slots
        try:
            self._session = onnxruntime.InferenceSession(network, options, providers=providers)
        except Exception as error:  # noqa: BLE001  # its errors have no common base class
            raise EngineError(f"{network} cannot be loaded: {error}") from None
        if not set(providers) & set(self._session.get_providers()):  # it silently falls back to the CPU
            raise EngineError(f"the installed ONNX Runtime does not support {device}", "engine_device_missing")
        self._slots = Slots(self.slots)

    def prepare(self, size: Size | None) -> bool:
        return self._slots.prepare(size, lambda blank: self._run(blank, lambda raw: None))

    def ready(self) -> tuple[Size | None, ...]:
        return self._slots.ready()

    def drop(self, size: Size | None) -> None:
        self._slots.drop(size)

    def close(self) -> None:
        self._slots.close()

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Run in the one session. Its threads are fixed when it is created, so `all_cores` makes no difference."""
        if all_cores or Size(tensor.shape[1], tensor.shape[0]) not in self.ready():
            self._slots.mark_ready(None)
        return self._run(tensor, read)

    def _run(self, tensor: Tensor, read: Callable[[Raw], T]) -> T:
        with self._slots:
            image = np.ascontiguousarray(tensor.transpose(2, 0, 1)[None], np.float32) / 255  # NCHW, 0-1
            try:
                outputs = self._session.run(None, {self._session.get_inputs()[0].name: image})
            except Exception as error:  # noqa: BLE001
                raise EngineError(f"ONNX Runtime cannot run the model on {tensor.shape}: {error}") from None
            return read(tuple(output[0] for output in outputs))
