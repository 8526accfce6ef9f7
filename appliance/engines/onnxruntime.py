"""ONNX Runtime: one session, which takes every size that the network does. Needs the extra `onnx`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from appliance.engines.slots import Turns
from appliance.errors import EngineError
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

_ON = {"CPU": ("CPUExecutionProvider",), "GPU": ("CUDAExecutionProvider", "MIGraphXExecutionProvider")}


class OnnxRuntimeEngine:
    """An Engine. `hint`: `latency` puts all threads on one picture, `throughput` one thread on each of several."""

    name = "onnxruntime"
    precision = "f32"
    reads = (".onnx",)

    def __init__(
        self, network: Path, *, device: str = "CPU", precision: str = "", threads: int = 0, hint: str = "", **_: Any
    ) -> None:
        if precision not in ("", "f32"):
            raise EngineError(f"ONNX Runtime computes in f32 here, and not in {precision}; set engine.precision")
        try:
            import onnxruntime
        except ImportError:
            raise EngineError("ONNX Runtime is not installed; pip install onnxruntime") from None
        providers = [one for one in _ON.get(device, ()) if one in onnxruntime.get_available_providers()]
        threads = threads or len(os.sched_getaffinity(0))
        self.device, self.slots = device, 1 if hint == "latency" else threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // self.slots
        try:
            self._session = onnxruntime.InferenceSession(network, options, providers=providers)
        except Exception as error:  # noqa: BLE001  # its errors have no root of their own
            raise EngineError(f"{network} cannot be loaded: {error}") from None
        if not set(providers) & set(self._session.get_providers()):  # it falls back to the CPU without a word
            raise EngineError(f"this ONNX Runtime has nothing that runs on {device}", "engine_device_missing")
        self._turns = Turns(self.slots)

    def prepare(self, size: Size | None) -> bool:
        """Nothing is compiled: one inference shows whether the network takes this size."""
        if size is not None and size not in self.ready():
            self._run(np.zeros((size.height, size.width, 3), np.uint8), lambda raw: None)
        self._turns.note(size)
        return False

    def ready(self) -> tuple[Size | None, ...]:
        return self._turns.ready()

    def drop(self, size: Size | None) -> None:
        self._turns.drop(size)

    def close(self) -> None:
        self._turns.close()

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Each way is the same session, with the threads that it was made with: `all_cores` makes no frame faster."""
        if all_cores or Size(tensor.shape[1], tensor.shape[0]) not in self.ready():
            self._turns.note(None)
        return self._run(tensor, read)

    def _run(self, tensor: Tensor, read: Callable[[Raw], T]) -> T:
        """The network takes one picture, its colours apart, 0-1."""
        with self._turns:
            picture = np.ascontiguousarray(tensor.transpose(2, 0, 1)[None], np.float32) / 255
            try:
                outputs = self._session.run(None, {self._session.get_inputs()[0].name: picture})
            except Exception as error:  # noqa: BLE001
                raise EngineError(f"ONNX Runtime cannot run the model on {tensor.shape}: {error}") from None
            return read(tuple(output[0] for output in outputs))
