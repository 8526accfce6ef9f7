"""Inference on a server over KServe v2 (OpenVINO Model Server, Triton), with this device's own engine behind it.

Rules of this file:
- A frame that the server does not answer in time is inferred here, and so are all after it, until the server has
  answered again. Nobody waits for a server that is known to be away.
- A thread tries the server again every few seconds, with a blank picture, also for the outputs' shapes: they must be
  those of the model on this device, which reads them. A server that comes and goes is tried less and less often.
- A server can get another model while it runs. What it says about its outputs is held against each answer.
- An answer that is longer than this device's model could give is refused before it is in memory.
- The local engine is always prepared, so that it stands in at once. That costs its memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from appliance.engines.kserve.server import ModelServer
from appliance.engines.kserve.tensors import OtherSize, ServedModel, UnusableServer, longest_answer, shapes
from appliance.engines.openvino import OpenVINOEngine
from appliance.engines.slots import Slots
from appliance.errors import EngineError
from appliance.ports import Raw, T, Tensor
from appliance.values import Size

log = logging.getLogger(__name__)

_SLOTS = 4
"""Frames at the server at once: with fewer, the network's delay leaves it idle."""
_RETRY_S = 2.0
_MOST_RETRY_S = 60.0
_STEADY_S = 60.0
"""A server that was away again sooner is tried less often."""


class KserveEngine:
    """An Engine. `server`: URL; `server_model`: the model's name there; other options: those of the local engine."""

    name = "kserve"
    reads = OpenVINOEngine.reads
    built_ahead = False

    def __init__(
        self,
        network: Path,
        *,
        server: str = "",
        server_model: str = "",
        server_timeout_s: float = 1.0,
        server_ca_file: str = "",
        **options: Any,
    ) -> None:
        if not server:
            raise EngineError(
                "engine.server is not set: the address of an inference server, such as grpc://10.0.0.9:9000"
            )
        self._timeout_s, self.slots = server_timeout_s, _SLOTS
        model = server_model or network.resolve().parent.name
        self._server = ModelServer(server, model, server_timeout_s, Path(server_ca_file) if server_ca_file else None)
        self._local = OpenVINOEngine(network, **options)
        self.device = self._server.address
        self._slots = Slots(self.slots)
        self._changed = threading.Condition()
        """Held to change what follows."""
        self._model: ServedModel | None = None
        """What the server runs; None: it is away."""
        self._why: str | None = "was not asked yet"
        self._back_s, self._retry_s, self._due_s = float("-inf"), _RETRY_S, float("inf")
        self._probe_size = Size(320, 320)
        self._asked, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._try_again, name="inference server", daemon=True)
        self._thread.start()

    @property
    def precision(self) -> str:
        return self._local.precision

    @property
    def problem(self) -> str | None:
        """Why frames are inferred on this device, as a sentence; None: the server answers."""
        return None if self._why is None else f"The inference server {self.device} {self._why}"

    def prepare(self, size: Size | None) -> bool:
        compiled = self._local.prepare(size)
        if not self._asked.is_set():
            with self._changed:
                self._probe_size, self._due_s = size or self._probe_size, time.monotonic()
                self._changed.notify()
            self._asked.wait(3 * self._timeout_s)
        return compiled

    def ready(self) -> tuple[Size | None, ...]:
        return self._local.ready()

    def drop(self, size: Size | None) -> None:
        self._local.drop(size)

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        """Run on the server, or here. `all_cores` makes no difference to the server."""
        if all_cores or Size(tensor.shape[1], tensor.shape[0]) not in self._local.ready():
            self._local.prepare(None)
        with self._slots:
            model = self._model
            raw = self._remotely(model, tensor) if model is not None else None
            if model is not None and raw is not None:
                try:
                    return read(raw)
                except EngineError as error:
                    self._lose(model, f"gave an answer that cannot be used: {error}")
            return self._local.infer(tensor, read, all_cores=all_cores)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._slots.close()
        self._server.close()
        self._thread.join()
        self._local.close()

    def _remotely(self, model: ServedModel, tensor: Tensor) -> Raw | None:
        """The server's outputs; None: this frame is inferred here."""
        try:
            raw = self._server.infer(model, tensor)
            if not model.returns(shapes(raw)):
                raise UnusableServer(
                    f"runs another model than before: its outputs have the shape {_text(shapes(raw))}, not "
                    f"{_text(tuple(shape[1:] for shape in model.output_shapes))}"
                )
            return raw
        except OtherSize:
            return None
        except UnusableServer as error:
            self._lose(model, str(error))
            return None

    def _lose(self, model: ServedModel, why: str) -> None:
        with self._changed:
            if self._model is not model:  # another frame has noticed
                return
            now_s = time.monotonic()
            steady = now_s - self._back_s > _STEADY_S
            self._retry_s = _RETRY_S if steady else min(_MOST_RETRY_S, 2 * self._retry_s)
            self._model, self._why, self._due_s = None, why, now_s + self._retry_s
            self._changed.notify()
        log.warning("inference server %s %s; frames are inferred on this device", self.device, why,
                    extra={"kind": "offload"})  # fmt: skip

    def _try_again(self) -> None:
        """The thread: ask a server that is away whether it is back."""
        while self._wait_until_due():
            self._probe(self._probe_size)
            self._asked.set()

    def _wait_until_due(self) -> bool:
        """Wait until the server is to be asked; False: the engine is closed."""
        with self._changed:
            while not self._closed:
                left_s = self._due_s - time.monotonic()
                if self._model is None and left_s <= 0:
                    self._due_s = time.monotonic() + self._retry_s
                    return True
                self._changed.wait(left_s if self._model is None and left_s < float("inf") else None)
            return False

    def _probe(self, size: Size) -> None:
        try:
            model = self._server.describe()
            size = model.fixed_size or size
            blank = np.zeros((size.height, size.width, 3), np.uint8)
            here = self._local.infer(blank, shapes)
            self._server.limit(longest_answer(here, size, model))
            there = shapes(self._server.infer(model, blank))
            if there != here:
                raise UnusableServer(
                    f"runs another model: its outputs have the shape {_text(there)}, those of this device's model "
                    f"{_text(here)}"
                )
        except UnusableServer as error:
            if str(error) != self._why:
                log.warning("inference server %s %s", self.device, error, extra={"kind": "offload"})
            self._why = str(error)
            return
        except EngineError as error:
            self._why = f"was not tried: {error}"
            return
        with self._changed:
            self._model, self._why, self._back_s = model.after(there), None, time.monotonic()
        log.info("inference server %s answers (%s)", self.device, model.kind, extra={"kind": "offload"})


def _text(found: tuple[tuple[int, ...], ...]) -> str:
    return ", ".join("x".join("?" if side < 0 else str(side) for side in shape) for shape in found)[:200]
