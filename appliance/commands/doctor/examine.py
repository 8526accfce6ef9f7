"""All checks, in the order in which a technician would ask: machine, installation, model, port, chip."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.commands.doctor import installed
from appliance.commands.doctor.check import Check
from appliance.commands.doctor.sensors import of_reading
from appliance.device.board import identify
from appliance.device.sensors.machine import MachineSensors
from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.flow.inference import Network
from appliance.models import bundle
from appliance.service.loading import inference_of, load_network
from appliance.settings.schema import Settings
from appliance.values import Frame, ResultFilter
from appliance.vision import scene, sight

_ANSWER_S = 5.0
_REPLACE = "Run `appliance model fetch --force`, or choose another model with `appliance model activate`."
_OF_THE_MACHINE = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the service that runs on our port says of itself."""

    ready: bool
    canary: str
    stand_in: str | None = None
    """Why another engine serves than the one that is asked for."""


def examine(settings: Settings, root: Path = Path("/")) -> Iterator[Check]:
    """The checks, each made when it is asked for."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", (3, 10) <= sys.version_info[:2] <= (3, 13), version, "Use Python 3.10 to 3.13.")
    yield _board()
    yield from installed.examine(root)
    running = ask(settings.server.host, settings.server.port)
    yield from _model(settings, running)
    yield _port(settings, running)
    models = Path(settings.model.dir).absolute()
    yield from of_reading(MachineSensors(disk=models if models.exists() else Path("/")).read())


def ask(host: str, port: int) -> Seen | None:
    """What our own service answers on this port; None where nobody, or somebody else, does."""
    where = "127.0.0.1" if host in _OF_THE_MACHINE else f"[{host}]" if ":" in host else host
    try:
        said = _get(f"http://{where}:{port}/health/ready")
        findings = _get(f"http://{where}:{port}/health")["findings"]
        stand_in = [str(one["what"]) for one in findings if one["code"] == "engine_stand_in"]
        return Seen(bool(said["ready"]), str(said["canary"]), stand_in[0] if stand_in else None)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None


def _get(url: str) -> Any:
    """The JSON that lies there, whatever status it comes with."""
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())


def _board() -> Check:
    board = identify()
    parts = [
        board.name or "unknown machine",
        board.revision and f"revision {board.revision}",
        board.serial and f"serial number {board.serial}",
    ]
    return Check("board", True, ", ".join(part for part in parts if part))


def _model(settings: Settings, running: Seen | None) -> Iterator[Check]:
    folder = Path(settings.model.dir) / settings.model.name
    try:
        found = bundle.read(folder)
    except ModelError as error:
        yield Check("model", False, str(error), "Run `appliance model fetch --force`, or set model.name.")
        return
    yield Check("model", True, f"{found.name}, {len(found.classes)} classes, files as in the manifest")
    if running is not None:
        # A second network beside it could be more than a small board's memory holds.
        yield Check("engine", running.ready and running.stand_in is None,
                    f"in the running service: {running.stand_in or running.canary}",
                    "Read why and what to do: `journalctl -u appliance -n 50`, or `/health`.")  # fmt: skip
        return
    try:
        network = load_network(settings)
    except NotBuilt as error:
        what = "Start the service: it builds the engine, and OpenVINO serves meanwhile."
        yield Check("engine", False, str(error), what)
        return
    except (EngineError, ModelError) as error:
        what = "Set engine.device to CPU, or install the device's driver."
        if settings.engine.kind != "openvino":
            what = "Mend that, or set engine.kind to openvino, which serves meanwhile."
        yield Check("engine", False, str(error), what)
        return
    try:
        precision = network.info.computed_in(network.engine.precision)
        yield Check("engine", True, f"{network.engine.name} on {network.engine.device}, {precision}")
        yield _sight(settings, network)
    finally:
        network.close()


def _sight(settings: Settings, network: Network) -> Check:
    """Whether the model finds what is drawn in the known picture, as the service's self-test asks."""
    if scene.SIGN not in network.info.classes:
        return Check("sight", True, f"not tested: {network.info.name} has no class '{scene.SIGN}'")
    known = sight.known_picture()
    frame = Frame("doctor", "doctor", 1, known.picture, ResultFilter(sight.CONFIDENCE), 0.0)
    try:
        answer = inference_of(settings, network, lambda: 0.0).run(frame, settings.flow.max_side).detected
    except EngineError as error:
        return Check("sight", False, str(error), _REPLACE)
    problem = known.problem(answer.detections, answer.input_size, network.reader.max_detections)
    return Check("sight", problem is None, problem or "the drawn stop signs were found", _REPLACE)


def _port(settings: Settings, running: Seen | None) -> Check:
    where = f"{settings.server.host}:{settings.server.port}"
    if running is not None:
        return Check("port", True, f"{where} is the running service's")
    try:
        with socket.create_server((settings.server.host, settings.server.port)):
            return Check("port", True, f"{where} is free")
    except OSError as error:
        return Check("port", False, f"{where}: {error.strerror}", "Stop what uses it, or set server.port.")
