"""An engine that has to be built for this very box: built beside the work, and taken into use when it holds.

Rules of this file:
- Meanwhile a stand-in looks at the frames, loaded by `parts.load_to_serve`; `Network.lacks` says for want of what.
- Building is a process of its own: it takes minutes and a gigabyte, may crash, and ends with the service. Only a build
  that takes the service with it is counted against it: while we live we take back its note that it has begun.
- What was built is tried like any other model (`activation.py`), beside the stand-in, and the cameras see no gap. Who
  activates another model meanwhile is waited for. What is built and not taken into use a restart would load.
- An engine is built once in a service's life: what failed is said in `/health`, and tried again after a restart. Its
  build says which it is (that names the network's sha256): another model may come under the same name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from appliance import programs
from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.flow.activation import BUSY, MEMORY_SHORT
from appliance.flow.detector import Detector
from appliance.flow.inference import Network

log = logging.getLogger(__name__)

Build = tuple[str, ...]
"""A program and its arguments, as NotBuilt has it."""

_NO_ROOM = "too little memory is left to try it beside the present one"

_LONGEST_S = 3600.0
"""For a build. Nobody waits for it; a builder that hangs holds memory."""


class Activate(Protocol):
    """Activates a model by its name; raises ModelError or EngineError."""

    def __call__(self, name: str, *, chosen: bool) -> Awaitable[object]: ...


@dataclass(frozen=True, slots=True)
class StandInReason:
    """Why a stand-in stays. `built`: what it stands in for is there, and a restart loads it."""

    why: str
    built: bool = False


class Rebuild:
    """Follows the network in use. `activate`: takes a model into use by its name; raises ModelError or EngineError.

    `again_s`: until it is asked again, where another model is being activated.
    """

    def __init__(self, *, detector: Detector, activate: Activate, again_s: float = 5.0) -> None:
        self._detector, self._activate, self._again_s = detector, activate, again_s
        self._swapped = asyncio.Event()
        self._came_of: dict[Build, StandInReason | None] = {}
        """What came of each build; None: it goes on, or went well."""

    @property
    def stand_in(self) -> str | None:
        """Why a stand-in looks at the frames; None: it is no stand-in."""
        network = self._detector.network
        return str(network.lacks) if network is not None and network.lacks is not None else None

    @property
    def problem(self) -> StandInReason | None:
        """Why it stays; None: it goes, when it can."""
        network = self._detector.network
        if network is None or network.lacks is None:
            return None
        if network.build is None:
            return StandInReason("the device cannot fix this by itself")
        return self._came_of.get(network.build)

    def look_again(self) -> None:
        """The network in use is another one."""
        self._swapped.set()

    async def run(self) -> None:
        """Build what is lacking, for as long as the service runs."""
        while True:
            self._swapped.clear()
            network = self._detector.network
            if network is not None and network.lacks is not None:
                log.warning("%s; %s serves meanwhile", network.lacks, network.info.engine)
                if network.build is not None and network.build not in self._came_of:
                    await self._build(network, network.build)
            await self._swapped.wait()

    async def _build(self, network: Network, build: Build) -> None:
        begun = network.lacks.begun if isinstance(network.lacks, NotBuilt) else None
        self._came_of[build] = None
        failure: programs.ProgramFailed | None = None
        try:
            await programs.run_async(build, timeout_s=_LONGEST_S)
        except programs.ProgramFailed as error:
            failure = error
        finally:
            if begun is not None:
                with contextlib.suppress(OSError):
                    begun.unlink(missing_ok=True)
        if failure is not None:
            self._stays(network, build, StandInReason(f"building failed: {failure}"))
        elif not await self._use(network, build):
            del self._came_of[build]  # should its model come back and still lack it, that is looked into then

    async def _use(self, network: Network, build: Build) -> bool:
        """Take into use what was built, in place of this network; False: another one has taken that place."""
        while self._detector.network is network:
            try:
                await self._activate(network.info.name, chosen=False)
            except (ModelError, EngineError) as error:
                if error.code == BUSY:
                    await asyncio.sleep(self._again_s)
                    continue
                why = _NO_ROOM if error.code == MEMORY_SHORT else str(error)
                self._stays(network, build, StandInReason(why, built=True))
            else:
                if self._builds(build):
                    self._stays(network, build, StandInReason("what was built does not load"))
            return True
        return False

    def _builds(self, build: Build) -> bool:
        """Whether the network in use lacks what this builds."""
        network = self._detector.network
        return network is not None and network.build == build

    def _stays(self, network: Network, build: Build, stays: StandInReason) -> None:
        self._came_of[build] = stays
        log.error("%s goes on with a stand-in: %s", network.info.name, stays.why)
