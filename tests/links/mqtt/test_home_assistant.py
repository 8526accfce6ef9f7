"""Home Assistant's own MQTT integration shows the device. `make home-assistant` installs it and runs these tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Serve
from tests.links.brokers import broker
from tests.links.showing import FAST, PERSON, show
from tests.web.camera import camera

PYTHON = ROOT / ".cache/home-assistant/bin/python"
PROGRAM = Path(__file__).with_name("home_assistant.py")
SETTINGS = """
[cameras."Portão / 1".zones."pátio 'b'"]
points = [[0, 0], [1, 0], [1, 1], [0, 1]]
[cameras.old]
"""

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="Home Assistant is not installed: make home-assistant")


class HomeAssistant:
    """A running Home Assistant. `states`: state and event type of each entity."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.states: dict[str, list[Any]] = {}
        self.devices: list[str] = []

    async def until(self, holds: Callable[[dict[str, list[Any]]], object], within_s: float = 30) -> None:
        """Read the states until a condition holds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        deadline_s = time.monotonic() + within_s
        while True:
            self._process.stdin.write(b"\n")
            report = json.loads(await self._process.stdout.readline())
            self.states, self.devices = report["states"], report["devices"]
            if holds(self.states):
                return
            assert time.monotonic() < deadline_s, sorted(self.states)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def home_assistant(folder: Path, port: int) -> AsyncIterator[HomeAssistant]:
    with (folder / "home-assistant.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            PYTHON, PROGRAM, folder / "config", str(port),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=2**20,
        )  # fmt: skip
    try:
        yield HomeAssistant(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)


async def test_home_assistant_shows_the_device_and_its_cameras(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(SETTINGS)
    with broker(tmp_path) as mosquitto:
        flags = FAST | {"mqtt.host": "127.0.0.1", "mqtt.port": str(mosquitto.port), "mqtt.interval_s": "1"}
        flags |= {"mqtt.commands": "true", "mqtt.pictures": "true", "server.keep_pictures": "true"}
        async with home_assistant(tmp_path, mosquitto.port) as home:
            async with serve(toml=toml, **flags) as running, camera(running.url, "Portão / 1") as gate:
                occupancy = "binary_sensor.portao_1_patio_b_person_occupancy"
                await home.until(lambda states: states.get(occupancy, ["?"])[0] == "off")
                assert "Portão / 1" in home.devices
                kinds = {entity.split(".")[0] for entity in home.states}
                assert {"sensor", "binary_sensor", "event", "image", "button"} <= kinds
                await show(running, gate, PERSON)
                await home.until(lambda states: states[occupancy][0] == "on")
                assert home.states["sensor.portao_1_patio_b_person_count"][0] == "1"
                assert home.states["event.portao_1_event"][1] == "start"
                await show(running, gate)
                await home.until(lambda states: states[occupancy][0] == "off")
                assert home.states["event.portao_1_event"][1] == "end"
                await home.until(
                    lambda states: states["image.portao_1_last_event"][0] not in ("unknown", "unavailable")
                )
                await home.until(lambda states: states["sensor.portao_1_last_seen"][0].startswith("20"))
                unavailable = [name for name, (state, _) in home.states.items() if state == "unavailable"]
                assert unavailable == []
            await home.until(lambda states: all(state == "unavailable" for state, _ in states.values()))
            toml.write_text(SETTINGS.replace("[cameras.old]", "").replace("pátio", "porta"))
            async with serve(toml=toml, **flags):
                await home.until(lambda states: "binary_sensor.portao_1_porta_b_person_occupancy" in states)
                await home.until(lambda states: occupancy not in states)
                await home.until(lambda states: not any("old" in name for name in states))
                assert "old" not in home.devices
        async with serve(toml=toml, **flags), home_assistant(tmp_path, mosquitto.port) as again:
            await again.until(lambda states: states.get("sensor.portao_1_rate", ["?"])[0] not in ("?", "unavailable"))
