"""Node-RED receives an event over MQTT and by a webhook. `make node-red` installs it and runs this test."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import ROOT, Serve
from tests.links.brokers import broker, free_port
from tests.links.showing import FAST, appear
from tests.web.camera import camera

RED = ROOT / ".cache/node-red/node_modules/node-red/red.js"

pytestmark = pytest.mark.skipif(not RED.exists(), reason="Node-RED is not installed: make node-red")


def flows(port: int, folder: Path) -> list[dict[str, Any]]:
    """Nodes as its editor exports them: what comes in over MQTT and HTTP is appended to files."""

    def to_file(name: str) -> dict[str, Any]:
        return {
            "id": f"{name}-file", "type": "file", "z": "flow", "filename": str(folder / f"{name}.jsonl"),
            "filenameType": "str", "appendNewline": True, "createDir": False, "overwriteFile": "false",
            "encoding": "utf8", "wires": [[]],
        }  # fmt: skip

    return [
        {"id": "flow", "type": "tab", "label": "events"},
        {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "protocolVersion": "4",
         "cleansession": True, "autoConnect": True, "keepalive": "60"},
        {"id": "in", "type": "mqtt in", "z": "flow", "topic": "appliance/+/cameras/+/event", "qos": "2",
         "datatype": "auto-detect", "broker": "broker", "wires": [["mqtt-file"]]},
        to_file("mqtt"),
        {"id": "hook", "type": "http in", "z": "flow", "url": "/hook", "method": "post",
         "wires": [["done", "http-file"]]},
        {"id": "done", "type": "http response", "z": "flow", "statusCode": "204", "wires": []},
        to_file("http"),
    ]  # fmt: skip


async def test_node_red_receives_each_event_once(serve: Serve, tmp_path: Path) -> None:
    with broker(tmp_path) as mosquitto:
        port = free_port()
        (tmp_path / "flows.json").write_text(json.dumps(flows(mosquitto.port, tmp_path)))
        with (tmp_path / "node-red.log").open("wb") as log:
            red = await asyncio.create_subprocess_exec(
                "node", RED, "--userDir", tmp_path, "--port", str(port), "flows.json", stdout=log, stderr=log
            )
        try:
            await until(lambda: b"Connected to broker" in (tmp_path / "node-red.log").read_bytes())
            async with aiohttp.ClientSession() as session:
                assert (await session.get(f"http://127.0.0.1:{port}/")).status == 200
            toml = tmp_path / "appliance.toml"
            toml.write_text(
                f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n'
                f'[webhooks.red]\nurl = "http://127.0.0.1:{port}/hook"\n'
            )
            async with serve(toml=toml, **FAST) as running, camera(running.url, "gate") as gate:
                for _ in range(2):
                    await appear(running, gate)
            for name in ("mqtt", "http"):
                await until(lambda name=name: len(received(tmp_path, name)) == 4)
                events = received(tmp_path, name)
                assert [(one["camera"], one["type"]) for one in events] == [("gate", "start"), ("gate", "end")] * 2
        finally:
            red.terminate()
            await red.wait()


def received(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def until(holds: Any, within_s: float = 60) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)
