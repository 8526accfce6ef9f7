"""MNN on the CPU: one session for each frame in flight, and one with all cores. Needs the extra `mnn`.

A session lays itself out for the size of its input, so every size runs without a conversion of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.engines.mnn.convert import SUFFIX, convert
from appliance.engines.mnn.session import Session
from appliance.engines.slots import Slots
from appliance.errors import EngineError
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

_AT_HWCAP, _ASIMDHP = 16, 1 << 10
"""getauxval(3), and the kernel's bit for vector arithmetic in f16 on arm64 (asm/hwcap.h)."""


class MnnEngine:
    """An Engine. `hint`: `latency` runs one frame on all threads, `throughput` several frames on one thread each."""

    name = "mnn"
    reads = (SUFFIX, ".onnx")
    built_ahead = False

    def __init__(
        self, network: Path, *, device: str = "CPU", precision: str = "", threads: int = 0, hint: str = "", **_: Any
    ) -> None:
        if device != "CPU":
            raise EngineError(f"MNN runs on the CPU here, not {device}; set engine.device", "engine_device_missing")
        self.device, self.precision = device, _precision(precision)
        self._threads = threads or len(os.sched_getaffinity(0))
        self.slots = 1 if hint == "latency" else self._threads
        self._slots, self._all_cores = Slots(self.slots), Slots(1)
        self._lock = threading.Lock()
        self._wide: Session | None = None
        self._network, self._temporary = network, contextlib.ExitStack()
        with contextlib.ExitStack() as temporary:
            if network.suffix != SUFFIX:
                self._network = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="mnn-")), "model.mnn")
                convert(network, self._network)  # takes a second
            self._free = [self._session(self._threads // self.slots)]
            self._temporary = temporary.pop_all()

    def prepare(self, size: Size | None) -> bool:
        return self._slots.prepare(size, lambda blank: self._run(blank, lambda raw: None))

    def ready(self) -> tuple[Size | None, ...]:
        return self._slots.ready()

    def drop(self, size: Size | None) -> None:
        self._slots.drop(size)
        if size is None:
            with self._lock:
                self._wide = None

    def close(self) -> None:
        self._all_cores.close()
        self._slots.close()
        with self._lock:
            self._free.clear()
            self._wide = None
        self._temporary.close()

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Run in a free session, or in the one with all cores."""
        if not all_cores and Size(tensor.shape[1], tensor.shape[0]) in self.ready():
            return self._run(tensor, read)
        self._slots.mark_ready(None)
        if self.slots == 1:
            return self._run(tensor, read)
        with self._all_cores:
            with self._lock:
                session = self._wide = self._wide or self._session(self._threads)
            return read(session.run(tensor))

    def _run(self, tensor: Tensor, read: Callable[[Raw], T]) -> T:
        with self._slots:
            session = self._take(Size(tensor.shape[1], tensor.shape[0]))
            try:
                return read(session.run(tensor))
            finally:
                with self._lock:
                    self._free.append(session)

    def _take(self, size: Size) -> Session:
        """A free session, preferably one that last ran this size. Slots are as many as sessions, so one may be made."""
        with self._lock:
            if self._free:
                laid_out = [number for number, session in enumerate(self._free) if session.size == size]
                return self._free.pop(laid_out[0] if laid_out else -1)
            return self._session(self._threads // self.slots)

    def _session(self, threads: int) -> Session:
        return Session(self._network, threads, self.precision)


def _precision(wanted: str) -> str:
    """The precision that MNN computes in. ARM processors from v8.2 on compute f16, at twice the speed of f32."""
    can_f16 = platform.machine() == "aarch64" and bool(ctypes.CDLL(None).getauxval(_AT_HWCAP) & _ASIMDHP)
    if wanted not in ("", "f32", "f16") or (wanted == "f16" and not can_f16):
        raise EngineError(f"MNN cannot compute in {wanted} on this processor; set engine.precision")
    return wanted or ("f16" if can_f16 else "f32")
