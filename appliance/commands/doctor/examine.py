"""All checks, in the order of a technician: machine, installation, model, port, sensors."""

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
from appliance.commands.doctor.check_result import CheckResult
from appliance.commands.doctor.sensors import of_reading
from appliance.device import listening_address
from appliance.device.board import identify
from appliance.device.listening_address import ListeningAddress
from appliance.device.sensors.machine import MachineSensors
from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.flow.inference import Network
from appliance.health.words import counted
from appliance.models import bundle
from appliance.service.loading import inference_of, load_network
from appliance.settings.schema import Settings
from appliance.values import Frame, ResultFilter
from appliance.vision import scene, self_test

_TIMEOUT_S = 5.0
_REPLACE = "Run `appliance model fetch --force`, or activate another model with `appliance model activate`."
_ANY_ADDRESS = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class RunningService:
    """What the service on the configured port reports."""

    ready: bool
    canary: str
    stand_in: str | None = None
    """Why another engine than the configured one runs the model."""


def examine(settings: Settings, root: Path = Path("/")) -> Iterator[CheckResult]:
    """Run the checks one after another."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield CheckResult("python", (3, 10) <= sys.version_info[:2] <= (3, 13), version, "Use Python 3.10 to 3.13.")
    yield _board()
    yield from installed.examine(root)
    address = listening_address.read(root)
    written = ListeningAddress(settings.server.host, settings.server.port)
    running = find_service(address or written)
    yield from _model(settings, running)
    yield _port(written, address, running)
    models = Path(settings.model.dir).absolute()
    yield from of_reading(MachineSensors(disk=models if models.exists() else Path("/")).read())


def find_service(address: ListeningAddress) -> RunningService | None:
    """Ask the service on this port for its health; None: nothing listens there, or another program."""
    where = ListeningAddress("127.0.0.1", address.port) if address.host in _ANY_ADDRESS else address
    try:
        ready = _get(f"http://{where}/health/ready")
        findings = _get(f"http://{where}/health").get("findings", [])
        stand_in = [str(one["what"]) for one in findings if one["code"] == "engine_stand_in"]
        return RunningService(bool(ready["ready"]), str(ready.get("canary", "")), stand_in[0] if stand_in else None)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None


def _get(url: str) -> Any:
    """Fetch JSON, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())


def _board() -> CheckResult:
    board = identify()
    parts = [
        board.name or "unknown machine",
        board.revision and f"revision {board.revision}",
        board.serial and f"serial number {board.serial}",
    ]
    return CheckResult("board", True, ", ".join(part for part in parts if part))


def _model(settings: Settings, running: RunningService | None) -> Iterator[CheckResult]:
    folder = Path(settings.model.dir) / settings.model.name
    try:
        model = bundle.read(folder)
    except ModelError as error:
        yield CheckResult("model", False, str(error), "Run `appliance model fetch --force`, or set model.name.")
        return
    classes = counted(len(model.classes), "class", "classes")
    yield CheckResult("model", True, f"{model.name}, {classes}, files match the manifest")
    if running is not None:
        # Loading a second network could exceed the memory of a small board.
        yield CheckResult(
            "engine",
            running.ready and running.stand_in is None,
            f"in the running service: {running.stand_in or running.canary}",
            "See `journalctl -u appliance -n 50` or `/health` for the cause.",
        )
        return
    try:
        network = load_network(settings)
    except NotBuilt as error:
        fix = "Start the service. It builds the engine and uses OpenVINO meanwhile."
        yield CheckResult("engine", False, str(error), fix)
        return
    except (EngineError, ModelError) as error:
        fix = "Set engine.device to CPU, or install the driver of the device."
        if settings.engine.kind != "openvino":
            fix = "Fix this, or set engine.kind to openvino, which is used meanwhile."
        yield CheckResult("engine", False, str(error), fix)
        return
    try:
        precision = network.info.computed_in(network.engine.precision)
        yield CheckResult("engine", True, f"{network.engine.name} on {network.engine.device}, {precision}")
        yield _self_test(settings, network)
    finally:
        network.close()


def _self_test(settings: Settings, network: Network) -> CheckResult:
    """Check that the model detects the stop signs in the test image, as the service's self-test does."""
    if scene.SIGN not in network.info.classes:
        return CheckResult("self-test", None, f"not tested: {network.info.name} has no class '{scene.SIGN}'")
    known = self_test.image()
    frame = Frame("doctor", "doctor", 1, known.picture, ResultFilter(self_test.CONFIDENCE), 0.0)
    try:
        answer = inference_of(settings, network, lambda: 0.0).run(frame, settings.flow.max_side).detected
    except EngineError as error:
        return CheckResult("self-test", False, str(error), _REPLACE)
    problem = known.problem(answer.detections, answer.input_size, network.reader.max_detections)
    return CheckResult("self-test", problem is None, problem or "test image recognised", _REPLACE)


def _port(written: ListeningAddress, address: ListeningAddress | None, running: RunningService | None) -> CheckResult:
    """`written`: in the settings. `address`: where a service that systemd has started listens."""
    where = address or written
    if address is not None and written.port not in (address.port, Settings().server.port):
        return CheckResult(
            "port",
            False,
            f"server.port = {written.port} has no effect: systemd's appliance.socket listens on {address}",
            "Remove server.port. To use another port: `sudo systemctl edit appliance.socket` (docs/boot.md).",
        )
    if running is not None:
        return CheckResult("port", True, f"{where} is used by the running service")
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    try:
        with socket.create_server((where.host, where.port), family=family):
            return CheckResult("port", True, f"{where} is free")
    except OSError as error:
        return CheckResult(
            "port", False, f"{where}: {error.strerror}", "Stop the program that uses it, or set server.port."
        )
