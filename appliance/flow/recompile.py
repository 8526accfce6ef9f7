"""Compile a network from scratch when it fails the self-test, in case the cached compilation is corrupt.

Rules of this file:
- Checksums detect corruption on disk after the compilation, but not errors in memory before the checksum was taken.
- The cache is cleared first: if there is no memory for a second network now, the next start compiles from scratch.
- At most once a day: if the model itself is at fault it fails again, and compiling produces heat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from appliance.errors import EngineError, ModelError
from appliance.flow.activation import BUSY
from appliance.flow.detector import Detector
from appliance.ports import Clock

log = logging.getLogger(__name__)

_AGAIN_S = 86_400.0


class Recompile:
    """Recompiles the network in use. `activate`: activates a model by name; raises ModelError or EngineError."""

    def __init__(self, *, detector: Detector, activate: Callable[[str], Awaitable[object]], clock: Clock) -> None:
        self._detector, self._activate, self._clock = detector, activate, clock
        self._done_s = float("-inf")

    async def run(self) -> None:
        """Recompile the network in use, unless it is not cached or was recompiled within the last day."""
        network, now_s = self._detector.network, self._clock()
        if network is None or network.forget is None or self._detector.stuck or now_s - self._done_s < _AGAIN_S:
            return
        self._done_s = now_s
        name = network.info.name
        log.warning("model %s failed the self-test; compiling it from scratch", name)
        await asyncio.get_running_loop().run_in_executor(None, network.forget)
        try:
            await self._activate(name)
        except (ModelError, EngineError) as error:
            if error.code == BUSY:
                self._done_s = float("-inf")
            log.error("cannot recompile model %s while it is in use: %s. Restart the service", name, error)
