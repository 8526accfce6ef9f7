"""The network that frames run through now, and what they have shown about it: its speed and its failures.

Rules of this file:
- The network is swapped between two frames: a worker finishes a frame with the network it started with.
- Frames received before the swap never count as measurements or failures of the new network.
- Only the event loop writes. The workers read `inference`.
"""

from __future__ import annotations

import threading

from appliance.errors import ConfigError, EngineError, ModelError
from appliance.flow.cameras import Camera
from appliance.flow.frame_costs import FrameCosts
from appliance.flow.inference import Answer, Inference, Network
from appliance.flow.pace import Pace
from appliance.ports import Clock
from appliance.values import Failed, Frame, Limits

_SMOOTH = 0.1


class NetworkInUse:
    """The network in use. `inference`: None if no model is loaded; `model_error` is the reason."""

    def __init__(
        self,
        inference: Inference | None,
        model_error: ModelError | EngineError | ConfigError | None = None,
        *,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self.inference, self.model_error = inference, model_error
        self._pace, self._clock = pace, clock
        self._swaps = 0
        self._swapped_s = float("-inf")
        """Time of the last swap."""
        self._most_sizes: int | None = None
        self._keeping = threading.Lock()
        self.infer_ms: float | None = None
        """Engine time of a frame, moving average; None: no inference yet."""
        self.frame_costs = FrameCosts()
        self.engine_failures = 0
        """Consecutive failures."""

    @property
    def network(self) -> Network | None:
        """The loaded network; None: no model is loaded."""
        return self.inference.network if self.inference is not None else None

    @property
    def identity(self) -> str:
        """Part of the cache key: answers of an earlier network are not reused, nor those of one of the same name."""
        return f"{self.network.info.name if self.network is not None else ''} {self._swaps}"

    @property
    def lack(self) -> ModelError | EngineError | ConfigError | None:
        """Why no model is loaded; None: one is."""
        return None if self.network is not None else self.model_error or ModelError("no model is loaded")

    def failure(self) -> Failed | None:
        """Why no frame can be inferred; None: it can."""
        lack = self.lack
        return None if lack is None else Failed(lack.code, str(lack))

    def swap(self, inference: Inference) -> Inference | None:
        """Use `inference` from the next frame on; return the previous one."""
        inference.sparing = self._pace.limits.duty < 1
        previous, self.inference = self.inference, inference
        self._swaps += 1
        self._swapped_s = self._clock()
        self.model_error, self.infer_ms, self.engine_failures = None, None, 0
        self.frame_costs.forget()
        if self._most_sizes is not None:
            self._keep_sizes()
        return previous

    def apply(self, limits: Limits) -> None:
        """Apply the governor's limits from the next frame on."""
        if self.inference is not None:
            self.inference.sparing = limits.duty < 1
        if limits.most_sizes != self._most_sizes:
            self._most_sizes = limits.most_sizes
            self._keep_sizes()

    def answered(self, frame: Frame, answer: Answer, camera: Camera | None) -> None:
        """Learn from an answered frame what frames cost, also for the fair shares."""
        if frame.received_s < self._swapped_s:
            return
        self.engine_failures = 0
        if answer.detected.cached:
            return
        if not answer.detected.regions and self._pace.limits.duty < 1:  # else a frame may have all cores
            self.frame_costs.record(answer.detected.input_size, answer.engine_s)
        infer_ms = answer.engine_s * 1000
        self.infer_ms = infer_ms if self.infer_ms is None else self.infer_ms + _SMOOTH * (infer_ms - self.infer_ms)
        if frame.received_s < self._pace.applied_s:
            return
        self._pace.learn(self.network.engine.slots if self.network else 1, answer.engine_s)
        if camera is not None:
            camera.cost.note(self._pace.limits.max_side, answer.engine_s)

    def failed(self, frame: Frame) -> None:
        """Count a frame on which the engine failed."""
        if frame.received_s >= self._swapped_s:
            self.engine_failures += 1

    def capacity_fps(self) -> float | None:
        """Measured capacity of the engine, frames/s; None before the first inference."""
        if self.infer_ms is None:
            return None
        return self._pace.usable_slots() * 1000 / max(self.infer_ms, 0.01)

    def take_busy(self) -> float | None:
        """Part of the engine's time that was used since the last call, 0-1; None: not known."""
        return self._pace.take_busy() if self.network is not None else None

    def _keep_sizes(self) -> None:
        if self.network is not None:
            # A daemon thread: a hung engine must not block the exit of the process.
            threading.Thread(target=self._keep_newest, name="sizes", daemon=True).start()

    def _keep_newest(self) -> None:
        """On another thread, which reads what only the event loop writes."""
        with self._keeping:  # whichever thread runs last applies the latest limit
            if self.network is not None:
                self.network.sizes.keep(self._most_sizes)
