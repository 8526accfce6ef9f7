"""Swap the running model without dropping a frame: load, try, swap, release.

Rules of this file:
- Until the swap nothing has changed, and nothing after the swap can fail.
- The model in use never blocks its replacement: if it fails, the new model is tried alone (see trial.py). If it hangs,
  or no comparison is requested, it does not run in the trial at all.
- The previous network is released once the last frame it began has been answered.
- A second network is loaded only if memory has room for both. Otherwise the kernel might kill the service.
- The caller saves the choice after a successful activation: under systemd the service has read-only access to the
  model directory.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio

from appliance.errors import EngineError, ModelError
from appliance.flow.detector import Detector
from appliance.flow.trial import LoadInference, ModelTrial, TrialBounds, load_and_try
from appliance.ports import Clock

log = logging.getLogger(__name__)

_SECOND_BYTES = 150_000_000
"""For a second nano network and its trial. Measured peaks of five pairs: 58 to 81 MB (OpenVINO, x86)."""
BUSY, MEMORY_SHORT = "activation_busy", "memory_short"
"""Error codes of conditions that block any activation, whatever the model."""


class Activation:
    """Activates models in the running service.

    `max_side`: longest side of the network's input in the trial, px. `room_bytes`: available memory; None: unknown.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        load: LoadInference,
        max_side: int,
        clock: Clock,
        room_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._detector, self._load, self._room_bytes = detector, load, room_bytes
        self._max_side, self._clock = max_side, clock
        self._busy = False
        self._on_swap: list[Callable[[], None]] = []
        self.error: ModelError | None = None
        """Why the last requested model was not activated; the previous model stays in use."""

    def on_swap(self, call: Callable[[], None]) -> None:
        """Register a callback that runs after each swap."""
        self._on_swap.append(call)

    async def activate(
        self,
        name: str,
        pictures: Path | None = None,
        bounds: TrialBounds | None = TrialBounds(),
        *,
        chosen: bool = True,
    ) -> ModelTrial:
        """Activate the bundle `name`; return once every frame that the previous network began is answered.

        `pictures`: a folder of pictures for the comparison, in addition to the test image. `bounds`: None skips the
        comparison. `chosen`: a person requested this model, so `error` keeps a failure.
        Raises ModelError or EngineError; the previous model then stays in use.
        """
        if self._busy:
            raise ModelError("another model is being activated; try again when that is done", BUSY)
        self._busy = True
        detector, loop = self._detector, asyncio.get_running_loop()
        try:
            if detector.in_use.inference is not None and not fits_second_network(room := self._room_bytes()):
                raise ModelError(_memory_short(room), MEMORY_SHORT)
            current = None if detector.stuck else detector.in_use.inference
            prepare = partial(load_and_try, self._load, name, current, pictures, bounds, self._max_side, self._clock)
            new, trial = await loop.run_in_executor(None, prepare)
            previous = detector.swap(new)
            self.error = None
            for call in self._on_swap:
                call()
            replaced = previous.network.info.name if previous is not None else "none"
            log.info("activated model %s (previous: %s)", name, replaced)
            if previous is not None:
                with anyio.CancelScope(shield=True):  # a frame may still use it, even if the caller is gone
                    await detector.settled()
                # A daemon thread: the previous engine may hang, which may be why it is being replaced.
                threading.Thread(target=previous.close, name="release", daemon=True).start()
            return trial
        except (ModelError, EngineError) as error:
            failure = f"{name} was not activated: {error}"
            log.error("%s", failure, extra={"code": error.code})
            if chosen:
                self.error = ModelError(failure, error.code)
            raise
        finally:
            self._busy = False


def fits_second_network(room_bytes: int | None) -> bool:
    """Whether `room_bytes` of memory suffice for a second network; None: unknown."""
    return room_bytes is None or room_bytes >= _SECOND_BYTES


def _memory_short(room_bytes: int | None) -> str:
    return (
        f"not enough memory to load a second model: about {_SECOND_BYTES / 1e6:.0f} MB are needed, "
        f"{(room_bytes or 0) / 1e6:.0f} MB are available. Stop the service (`sudo systemctl stop appliance`), activate "
        "the model, then start the service again"
    )
