"""A wall of all cameras: a viewer subscribed to `*` on one device, and what the bus costs it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import socketio

from tests.site.trial.lab import Device, Lab
from tests.site.trial.scenes import Stage

_LATER_S = 3.0


class Wall:
    """What a viewer of one device has seen, by camera and frame."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, Any]] = set()
        self._client: Any = socketio.AsyncClient(handle_sigint=False)
        self._client.on("detection_results", self._result)
        self._client.on("connected", self._subscribe)

    async def connect(self, device: Device) -> None:
        await self._client.connect(f"http://{device.address}:{device.port}", transports=["websocket"])

    async def close(self) -> None:
        await self._client.shutdown()

    async def _subscribe(self, payload: Any) -> None:
        await self._client.emit("subscribe", {"cameras": "*"})

    def _result(self, payload: dict[str, Any]) -> None:
        self.seen.add((payload["camera"], payload["frame_id"]))


async def watched(stage: Stage, wall: Wall, what: str, act: Callable[[], object], seconds: float) -> None:
    """Act, and print how many results the wall has missed."""
    before = {one.name: len(one.frames) for one in stage.records}
    await asyncio.get_running_loop().run_in_executor(None, act)
    await asyncio.sleep(seconds)
    numbers = {one.name: len(one.frames) for one in stage.records}
    await asyncio.sleep(_LATER_S)
    due = {
        (one.name, number)
        for one in stage.records
        for number in range(before[one.name] + 1, numbers[one.name] + 1)
        if one.frames[number - 1].event == "detection_results"
    }
    print(f"{what:<34} {len(due):>7} results, {len(due - wall.seen):>4} missed", flush=True)


def report(device: Device) -> dict[str, Any]:
    """What a device says about the bus."""
    with urllib.request.urlopen(f"http://{device.address}:{device.port}/site", timeout=10) as answer:
        bus: dict[str, Any] = json.loads(answer.read())["bus"]
    return bus


async def bus_scenes(stage: Stage, site: Lab) -> None:
    """Servers die, hang and come back."""
    one, two, three = site.devices
    wall = Wall()
    await wall.connect(one)
    await asyncio.sleep(_LATER_S)
    print("\na wall of all cameras at one device")
    try:
        await watched(stage, wall, "calm", lambda: None, 10)
        await watched(stage, wall, "bus server of another device killed", two.stop_bus, 12)
        await watched(stage, wall, "  and started again", lambda: two.start_bus(site), 10)
        await watched(stage, wall, "bus server of this device killed", one.stop_bus, 12)
        await watched(stage, wall, "  and started again", lambda: one.start_bus(site), 10)
        await watched(stage, wall, "bus server of another device hangs", three.freeze_bus, 15)
        await watched(stage, wall, "  and started again", lambda: (three.stop_bus(), three.start_bus(site)), 12)  # type: ignore[func-returns-value]
        loop = asyncio.get_running_loop()
        reports = [await loop.run_in_executor(None, report, device) for device in site.devices]
    finally:
        await wall.close()
    for device, bus in zip(site.devices, reports, strict=True):
        print(f"  {device.name}: {bus}")
