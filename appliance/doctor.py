"""`appliance doctor`: each thing that must hold on this machine, with a tick or what to do."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings
from appliance.device.board import board_name
from appliance.device.sensors import MachineSensors
from appliance.errors import EngineError, ModelError
from appliance.models import bundle
from appliance.run import load_network

_ENOUGH_DISK = 200_000_000
_CLOCK_IS_SANE_AFTER = 1_700_000_000
"""November 2023: a board without a clock boots in 1970, or where its image was made."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `do` is what mends it."""

    name: str
    ok: bool
    text: str
    do: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """The checks, each made when it is asked for."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", (3, 10) <= sys.version_info[:2] <= (3, 13), version, "Use Python 3.10 to 3.13.")
    yield Check("board", True, board_name() or "unknown machine")
    yield from _model(settings)
    yield _port(settings)
    yield from _sensors(settings)
    now = time.time()
    yield Check("clock", now > _CLOCK_IS_SANE_AFTER, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)),
                "Let the box reach a time server: `timedatectl set-ntp true`.")  # fmt: skip


def _model(settings: Settings) -> Iterator[Check]:
    folder = Path(settings.model.dir) / settings.model.name
    try:
        found = bundle.read(folder)
    except ModelError as error:
        yield Check("model", False, str(error), "Run `appliance model fetch --force`, or set model.name.")
        return
    yield Check("model", True, f"{found.name}, {len(found.classes)} classes, files as in the manifest")
    try:
        network = load_network(settings)
    except (EngineError, ModelError) as error:
        yield Check("engine", False, str(error), "Set engine.device to CPU, or install the device's driver.")
        return
    network.engine.close()
    precision = network.info.computed_in(network.engine.precision)
    yield Check("engine", True, f"{network.engine.name} on {network.engine.device}, {precision}")


def _port(settings: Settings) -> Check:
    where = f"{settings.server.host}:{settings.server.port}"
    try:
        with socket.create_server((settings.server.host, settings.server.port)):
            return Check("port", True, f"{where} is free")
    except OSError as error:
        # In use is right when it is our own service that uses it; the text leaves that to the reader.
        return Check("port", False, f"{where}: {error.strerror}", "Stop what uses it, or set server.port.")


def _sensors(settings: Settings) -> Iterator[Check]:
    models = Path(settings.model.dir).absolute()
    reading = MachineSensors(disk=models if models.exists() else Path("/")).read()
    temp, free = reading.thermal.soc_temp_c, reading.storage.free_bytes
    yield Check("temperature", True, "no sensor found: heat cannot be governed" if temp is None else f"{temp:.0f} °C")
    yield Check("disk", free is None or free > _ENOUGH_DISK,
                "unknown" if free is None else f"{free / 1e9:.1f} GB free", "Free at least 200 MB.")  # fmt: skip
    available = reading.memory.available_bytes
    yield Check("memory", available is None or available > 300_000_000,
                "unknown" if available is None else f"{available / 1e9:.1f} GB available",
                "The service needs about 250 MB: stop something else.")  # fmt: skip
