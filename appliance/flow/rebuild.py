"""An engine that has to be built for this very box: built beside the work, and taken into use when it holds.

Rules of this file:
- Meanwhile a stand-in looks at the frames, loaded by `parts.load_to_serve`; `Network.lacks` says for want of what.
- Building is a process of its own: it takes minutes and a gigabyte, may crash, and ends with the service. Only a build
  that takes the service with it is counted against it: while we live we take back its note that it has begun.
- What was built is tried like any other model (`activation.py`), beside the stand-in, and the cameras see no gap.
- A model is built once in a service's life: what failed is said in `/health`, and tried again after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio

from appliance.errors import EngineError, ModelError
from appliance.flow.detector import Detector
from appliance.flow.inference import Network

log = logging.getLogger(__name__)

_LONGEST_S = 3600.0
"""For a build. Nobody waits for it; a builder that hangs holds memory."""


class Rebuild:
    """Follows the network in use. `activate`: takes a model into use by its name; raises ModelError or EngineError."""

    def __init__(self, *, detector: Detector, activate: Callable[[str], Awaitable[object]]) -> None:
        self._detector, self._activate = detector, activate
        self._swapped = asyncio.Event()
        self._problems: dict[str, str | None] = {}
        """What came of building each model; None: it goes on, or went well."""

    @property
    def stand_in(self) -> str | None:
        """Why a stand-in looks at the frames; None: it is no stand-in."""
        network = self._detector.network
        return str(network.lacks) if network is not None and network.lacks is not None else None

    @property
    def problem(self) -> str | None:
        """Why it stays."""
        network = self._detector.network
        return self._problems.get(network.info.name) if network is not None else None

    def look_again(self) -> None:
        """The network in use is another one."""
        self._swapped.set()

    async def run(self) -> None:
        """Build what is lacking, for as long as the service runs."""
        while True:
            self._swapped.clear()
            network = self._detector.network
            if network is not None and network.lacks is not None and network.info.name not in self._problems:
                await self._build(network.info.name, network)
            await self._swapped.wait()

    async def _build(self, name: str, network: Network) -> None:
        assert network.lacks is not None
        self._problems[name] = None
        log.warning("%s; %s serves meanwhile", network.lacks, network.info.engine, extra={"kind": "rebuild"})
        if network.build is None:
            self._problems[name] = "the box cannot mend that by itself"
            return
        try:
            problem = await run_program(network.lacks.build)
        finally:
            if network.lacks.begun is not None:
                with contextlib.suppress(OSError):
                    network.lacks.begun.unlink(missing_ok=True)
        if problem is None and self._detector.network is network:
            try:
                await self._activate(name)
                problem = self.stand_in  # what was built does not fit after all
            except (ModelError, EngineError) as error:
                problem = str(error)
        if problem is not None:
            self._problems[name] = f"building it failed: {problem}"
            log.error("%s was not built: %s", name, problem, extra={"kind": "rebuild"})


async def run_program(command: Sequence[str]) -> str | None:
    """Run it to its end, or kill it when cancelled. None: it did its work; else its last words."""
    try:
        with anyio.fail_after(_LONGEST_S):
            done = await anyio.run_process(command, check=False)
    except TimeoutError:
        return f"it took more than {_LONGEST_S / 3600:.0f} h"
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"
    if done.returncode == 0:
        return None
    if done.returncode == -9:
        return "it was stopped by the system: not enough memory"
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with status {done.returncode}"
