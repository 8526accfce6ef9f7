"""OpenVINO: one network, compiled for each frequently used input size, and once with a dynamic input size.

The network for a fixed size runs as many inferences in parallel as OpenVINO recommends; the dynamic one uses all cores
for one inference. docs/decisions/0006 explains why there are both.

The input is the letterboxed image as it is, (1, height, width, 3) u8: conversion and scaling to 0-1 are part of the
compiled graph. An inference runs on the calling thread, without the GIL; docs/decisions/0004 explains why this is not
an AsyncInferQueue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from appliance import heap
from appliance.engines import picture_input
from appliance.engines.compiled_files import CompiledFiles
from appliance.errors import EngineError, last_line
from appliance.imports import without
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

log = logging.getLogger(__name__)

_ANY_SIZE = "any size"
_MAX_SLOTS = 8
"""Parallel inferences. Small devices are fastest with one to four."""
_MOST_INSTEAD = 4
"""Networks for single sizes that are compiled because the device has none for any size."""


class OpenVINOEngine:
    """An Engine on CPU, GPU, NPU or AUTO.

    `hint`: throughput or latency, for networks of a fixed size. `cache`: the folder that keeps compiled networks for
    the next start. Raises EngineError when the device is missing (engine_device_missing) or the network cannot be
    loaded (engine_failed).
    """

    name = "openvino"
    reads = (".xml", ".onnx")
    built_ahead = False

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
        # OpenVINO 2026.4.1 fills its type table on first use. Two threads that do so at once deadlock with the GIL
        # held, so the first two frames would freeze the process.
        openvino.Type.u8.to_dtype()
        self._core = openvino.Core()
        if device != "CPU" and not device.startswith("AUTO"):  # loads all plugins: 14 MB
            _check_present(device, self._core.available_devices)
        self._network = network
        self._model: Any = self._read()
        self.device = device
        self._hint = hint.upper()
        self._options: dict[str, Any] = {}
        self._compiled_files = CompiledFiles(cache) if cache is not None else None
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
        self._instead: list[Size] = []
        """Sizes that were compiled instead of any size and nobody has prepared; the oldest first."""
        self._closed = False

    def prepare(self, size: Size | None) -> bool:
        """Compile for this input size, or for any (None), unless that is done (about 0.4 s on two x86 cores).

        Returns whether it was compiled now; False when it was ready or in the cache. Raises EngineError.
        """
        ready = size in self._prepared
        with self._lock:
            self._instead = [one for one in self._instead if one != size]
        return not (self._get(size).from_cache or ready)

    def ready(self) -> tuple[Size | None, ...]:
        with self._lock:
            return tuple(self._prepared)

    def prepare_as_before(self) -> int:
        """Compile for each size that is on disk compiled, perhaps by another version; returns for how many.

        Raises EngineError.
        """
        if self._compiled_files is None:
            return 0
        known = self._compiled_files.uses()
        network = self._use("")
        sizes = [_size_shown(use.removeprefix(network)) for use in known if use.startswith(network)]
        for size in sizes:
            self.prepare(size)
        return len(sizes)

    def drop(self, size: Size | None) -> None:
        with self._lock:
            dropped = self._prepared.pop(size, None)
            self._instead = [one for one in self._instead if one != size]
        del dropped
        heap.trim()  # compiling leaves about 10 MB of freed memory

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Wait for a free inference request, run it, and pass its outputs to `read` without copying them."""
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
        """The dynamic network, or one for this size on a device without dynamic shapes (an NPU)."""
        if self._any_size:
            try:
                return self._get(None)
            except EngineError:
                self._check_open()
                self._any_size = False
        return self._get_instead(size)

    def _get_instead(self, size: Size) -> _Prepared:
        """The network for this size; of those that are compiled here, only the latest few stay."""
        with self._lock:
            known = self._prepared.get(size)
        if known is not None:
            return known
        prepared = self._get(size)
        with self._lock:
            self._instead = [*(one for one in self._instead if one != size), size]
            old, self._instead = self._instead[:-_MOST_INSTEAD], self._instead[-_MOST_INSTEAD:]
        for one in old:
            self.drop(one)
        return prepared

    def _read(self) -> Any:
        """Read the network without compiling it. Only the first size uses the one read at start-up."""
        openvino = _import_openvino()
        try:
            return picture_input.take_pictures(openvino, self._core.read_model(self._network))
        except (RuntimeError, IndexError) as error:  # IndexError: it has no image input
            raise EngineError(f"{self._network} cannot be loaded: {last_line(error)}") from None

    def _compile(self, size: Size | None) -> _Prepared:
        try:
            model, self._model = self._model or self._read(), None
            if size is not None:
                model.reshape([1, size.height, size.width, 3])
            compiled = self._compile_or_load(model, size)
            del model
            heap.trim()  # compiling leaves about 10 MB of freed memory
            best = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            slots = min(_MAX_SLOTS, best) if size is not None else 1
            self.slots = max(self.slots, slots)
            self.precision = _precision(compiled) or self.precision
            return _Prepared(compiled, slots, _from_cache(compiled))
        except RuntimeError as error:
            raise EngineError(
                f"cannot compile the model for {self.device} at {_shown(size)}: {last_line(error)}"
            ) from None

    def _use(self, shown: str) -> str:
        """What a compiled file is used for: this network at a size."""
        return f"{self._network.parent.name}/{self._network.name} {shown}".replace("\n", " ")

    def _compile_or_load(self, model: Any, size: Size | None) -> Any:
        """Load the compiled network from the cache when it is there and intact, else compile. Raises RuntimeError."""
        options = {**self._options, "PERFORMANCE_HINT": self._hint if size is not None else "LATENCY"}
        if size is None and self.device == "CPU":
            # It keeps code and buffers of each size it has seen: 434 MB after 29 sizes, 276 without, at the same speed
            # while a few sizes alternate.
            options["CPU_RUNTIME_CACHE_CAPACITY"] = 0
        if self._compiled_files is None:
            return self._core.compile_model(model, self.device, options)
        try:
            with self._compiled_files.open(self._use(_shown(size))) as folder:
                cached = {**options, "CACHE_DIR": str(folder)} if folder is not None else options
                return self._core.compile_model(model, self.device, cached)
        except RuntimeError as error:  # possibly caused by the cache; if not, the next attempt shows it
            log.warning("compiling without the cache: %s", last_line(error), extra={"kind": "compiled_files"})
            return self._core.compile_model(model, self.device, options)


def _shown(size: Size | None) -> str:
    return _ANY_SIZE if size is None else f"{size.width}x{size.height}"


def _size_shown(text: str) -> Size | None:
    """The size that `_shown` has written."""
    width, _, height = text.partition("x")
    return Size(int(width), int(height)) if width.isdecimal() and height.isdecimal() else None


def _import_openvino() -> Any:
    """Import OpenVINO without its model converter, which is optional: faster start, 6 MB less memory, no telemetry."""
    with without("openvino.tools.ovc"):
        import openvino
    return openvino


def _check_present(device: str, present: list[str]) -> None:
    if device.partition(".")[0] not in {name.partition(".")[0] for name in present}:
        raise EngineError(
            f"OpenVINO found no device {device}, only {', '.join(present)}; set engine.device", "engine_device_missing"
        )


class _Prepared:
    """The network compiled for one input size or for any, with its free inference requests."""

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
        # Shared: no copy of the input or the outputs.
        request.infer({0: tensor[None]}, share_inputs=True, share_outputs=True)
    except RuntimeError as error:
        raise EngineError(f"inference failed: {last_line(error)}") from error


def _precision(compiled: Any) -> str | None:
    try:
        return {"f32": "f32", "float32": "f32", "f16": "f16", "float16": "f16", "bf16": "bf16", "bfloat16": "bf16"}.get(
            compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        )
    except (RuntimeError, AttributeError):
        return None  # not every device has this property


def _from_cache(compiled: Any) -> bool:
    try:
        return bool(compiled.get_property("LOADED_FROM_CACHE"))
    except RuntimeError:
        return False  # not every device has this property
