"""A network that fails the self-test: compiled from scratch, in case what was compiled before is to blame.

Rules of this file:
- Checksums find what the disk has changed since a network was compiled, but not what went wrong before, in memory.
- What is kept is removed first: even if there is no memory for a second network now, the next start compiles again.
- At most once a day: a model that is itself to blame fails again, and compiling makes heat.
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
    """`activate`: takes a model into use by its name; raises ModelError or EngineError."""

    def __init__(self, *, detector: Detector, activate: Callable[[str], Awaitable[object]], clock: Clock) -> None:
        self._detector, self._activate, self._clock = detector, activate, clock
        self._done_s = float("-inf")

    async def run(self) -> None:
        """Compile the network in use again, if it may come from what was kept and was not compiled today."""
        network, now_s = self._detector.network, self._clock()
        if network is None or network.forget is None or self._detector.stuck or now_s - self._done_s < _AGAIN_S:
            return
        self._done_s = now_s
        name = network.info.name
        log.warning("%s failed the self-test; it is compiled from scratch", name)
        await asyncio.get_running_loop().run_in_executor(None, network.forget)
        try:
            await self._activate(name)
        except (ModelError, EngineError) as error:
            if error.code == BUSY:
                self._done_s = float("-inf")
            log.error("%s could not be compiled from scratch while it is in use (%s); restart the service", name, error)
