"""Zones and masks that are drawn on the page: in force at once, kept across a restart, next to the settings'."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running, Serve
from tests.fakes import FakeEngine
from tests.links.showing import PERSON, show
from tests.web.camera import Camera, camera
from tests.web.requests import get

SETTINGS = "[cameras.gate.zones.fixed]\npoints = [[0, 0], [0.1, 0], [0, 0.1]]\n"
EVERYWHERE = [[0, 0], [1, 0], [1, 1], [0, 1]]


async def draw(running: Running, name: str, **areas: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(running.url) as session,
        session.post("/actions/draw_areas", json={"name": name, **areas}) as answer,
    ):
        return answer.status, json.loads(await answer.text())


async def zones(running: Running, gate: Camera) -> list[list[str] | None]:
    before = len(gate.heard)
    await show(running, gate, PERSON)
    (result,) = [payload for name, payload in gate.heard[before:] if name == "detection_results"]
    return [found.get("zones") for found in result["detections"]]


async def test_a_drawn_zone_is_in_force_at_once_and_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(SETTINGS)
    flags = {"state.history": "true", "state.dir": str(tmp_path / "state"), "cache.enabled": "false"}
    async with serve(toml=toml, **flags) as running, camera(running.url, "gate") as gate:
        assert await zones(running, gate) == [[]]
        status, _ = await draw(running, "gate", zones={"yard": {"points": EVERYWHERE, "classes": ["person"]}})
        assert status == 200
        assert await zones(running, gate) == [["yard"]]
        entry = running.started.parts.entrance.audit.latest(1)[0]
        assert (entry.action, entry.ok) == ("camera_areas", True)
    async with serve(toml=toml, **flags) as running, camera(running.url, "gate") as gate:
        assert await zones(running, gate) == [["yard"]]
        _, areas = await get(running.url, "/cameras/gate/areas")
        assert areas["zones"]["yard"] == {"points": EVERYWHERE, "classes": ["person"], "drawn": True}
        assert areas["zones"]["fixed"]["drawn"] is False
        running.started.parts.changes.reload(running.started.parts.settings)
        assert await zones(running, gate) == [["yard"]]
        await draw(running, "gate", masks={"all": EVERYWHERE})
        assert await zones(running, gate) == []
        await draw(running, "gate")
        assert await zones(running, gate) == [[]]


async def test_a_camera_without_settings_can_have_areas_once_it_is_known(serve: Serve) -> None:
    async with serve(**{"cache.enabled": "false"}) as running, camera(running.url, "gate") as gate:
        status, answer = await draw(running, "gate", zones={"yard": {"points": EVERYWHERE}})
        assert (status, answer["code"]) == (409, "camera_unknown")
        assert await zones(running, gate) == [None]
        deadline_s = time.monotonic() + 10
        while "gate" not in running.started.parts.vitals.roster:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        assert (await draw(running, "gate", zones={"yard": {"points": EVERYWHERE}}))[0] == 200
        assert await zones(running, gate) == [["yard"]]
        assert running.started.parts.vitals.known_cameras()["gate"].configured is False


@pytest.mark.parametrize(
    ("areas", "status", "code"),
    [
        ({"zones": {"fixed": {"points": EVERYWHERE}}}, 409, "areas_invalid"),
        ({"masks": {"line": [[0, 0], [0.5, 0.5], [1, 1]]}}, 409, "areas_invalid"),
        ({"zones": {"a": {"points": [[0, 0], [2, 0], [0, 1]]}}}, 400, "option_invalid"),
        ({"zones": {"a": {"points": [[0, 0], [1, 0]]}}}, 400, "option_invalid"),
        ({"zones": {"\n": {"points": EVERYWHERE}}}, 400, "option_invalid"),
        ({"masks": {str(number): EVERYWHERE for number in range(17)}}, 400, "option_invalid"),
    ],
)
async def test_an_invalid_area_changes_nothing(
    serve: Serve, tmp_path: Path, areas: dict[str, Any], status: int, code: str
) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(SETTINGS)
    async with serve(toml=toml) as running:
        assert (await draw(running, "gate", zones={"yard": {"points": EVERYWHERE}}))[0] == 200
        refused, answer = await draw(running, "gate", **areas)
        assert (refused, answer["code"]) == (status, code)
        _, kept = await get(running.url, "/cameras/gate/areas")
        assert set(kept["zones"]) == {"yard", "fixed"}


async def test_a_damaged_file_is_set_aside(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "areas.json").write_text('{"cameras": [{"name": "gate", "zones": {"a": {"points": 5}}}]}')
    async with serve(FakeEngine(), **{"state.history": "true", "state.dir": str(tmp_path)}) as running:
        assert running.started.parts.path.book.views == {}
        assert (tmp_path / "areas.json.corrupt-1").exists()
