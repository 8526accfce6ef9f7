"""Build an engine for this device in the background, then switch to it.

Rules of this file:
- A stand-in engine serves meanwhile; `Network.lacks` holds the reason.
- The build runs in a separate process: it takes minutes and a gigabyte of memory, may crash, and ends with the service.
  Its marker file (`NotBuilt.marker`) counts builds that took the service down, so the service removes it when it
  survives.
- The built engine is tried like any other model (activation.py) while the stand-in serves, so cameras notice no gap. A
  concurrent activation of another model goes first. A restart loads an engine that was built but not activated.
- Each engine is built once per service run. `/health` reports a failed build; a restart tries again. The build command
  identifies the engine, as it contains the network's sha256: a different model may have the same name.
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
"""A program and its arguments; see NotBuilt."""

_MEMORY_SHORT = "not enough memory to load it next to the current engine"

_LONGEST_S = 3600.0
"""Longest build. Stops a hung builder, which would hold its memory."""


class Activate(Protocol):
    """Activates a model by its name; raises ModelError or EngineError."""

    def __call__(self, name: str, *, chosen: bool) -> Awaitable[object]: ...


@dataclass(frozen=True, slots=True)
class StandInReason:
    """Why a stand-in engine stays in use. `built`: the engine it replaces is built, and a restart loads it."""

    why: str
    built: bool = False


class Rebuild:
    """Builds the engine that the network in use lacks.

    `activate`: activates a model by name. `again_s`: retry interval while another model is being activated.
    """

    def __init__(self, *, detector: Detector, activate: Activate, again_s: float = 5.0) -> None:
        self._detector, self._activate, self._again_s = detector, activate, again_s
        self._swapped = asyncio.Event()
        self._results: dict[Build, StandInReason | None] = {}
        """Result of each build; None: in progress or successful."""

    @property
    def stand_in(self) -> str | None:
        """Why a stand-in engine serves; None: the configured engine does."""
        network = self._detector.network
        return str(network.lacks) if network is not None and network.lacks is not None else None

    @property
    def problem(self) -> StandInReason | None:
        """Why the stand-in stays; None: no stand-in, or the build is still in progress."""
        network = self._detector.network
        if network is None or network.lacks is None:
            return None
        if network.build is None:
            return StandInReason("the device cannot fix this by itself")
        return self._results.get(network.build)

    def network_swapped(self) -> None:
        """Check the network in use after a swap."""
        self._swapped.set()

    async def run(self) -> None:
        """Build each missing engine, until cancelled."""
        while True:
            self._swapped.clear()
            network = self._detector.network
            if network is not None and network.lacks is not None:
                log.warning("%s; using %s as a stand-in", network.lacks, network.info.engine)
                if network.build is not None and network.build not in self._results:
                    await self._build(network, network.build)
            await self._swapped.wait()

    async def _build(self, network: Network, build: Build) -> None:
        marker = network.lacks.marker if isinstance(network.lacks, NotBuilt) else None
        self._results[build] = None
        failure: programs.ProgramFailed | None = None
        try:
            await programs.run_async(build, timeout_s=_LONGEST_S)
        except programs.ProgramFailed as error:
            failure = error
        finally:
            if marker is not None:
                with contextlib.suppress(OSError):
                    marker.unlink(missing_ok=True)
        if failure is not None:
            self._keep_stand_in(network, build, StandInReason(f"the build failed: {failure}"))
        elif not await self._activate_built(network, build):
            del self._results[build]  # a later activation of this model may need the build again

    async def _activate_built(self, network: Network, build: Build) -> bool:
        """Activate the built engine in place of `network`; False: another network has replaced that already."""
        while self._detector.network is network:
            try:
                await self._activate(network.info.name, chosen=False)
            except (ModelError, EngineError) as error:
                if error.code == BUSY:
                    await asyncio.sleep(self._again_s)
                    continue
                why = _MEMORY_SHORT if error.code == MEMORY_SHORT else str(error)
                self._keep_stand_in(network, build, StandInReason(why, built=True))
            else:
                if self._still_lacks(build):
                    self._keep_stand_in(network, build, StandInReason("the built engine does not load"))
            return True
        return False

    def _still_lacks(self, build: Build) -> bool:
        """Whether the network in use still lacks the engine of this build."""
        network = self._detector.network
        return network is not None and network.build == build

    def _keep_stand_in(self, network: Network, build: Build, reason: StandInReason) -> None:
        self._results[build] = reason
        log.error("model %s stays on the stand-in engine: %s", network.info.name, reason.why)
