"""Erasing over the control socket: the service asks, and root does it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from appliance.control.erase import routes
from appliance.device.erasure import REQUEST, UNIT, Erasure
from appliance.identity.audit import Audit


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    audit = Audit()
    app.add_routes(routes(Erasure(tmp_path, tmp_path), audit))

    async def actions(request: web.Request) -> web.Response:
        return web.json_response([entry.action for entry in audit.latest()])

    app.add_routes([web.get("/audit", actions)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
    async with aiohttp.ClientSession(
        "http://localhost", connector=aiohttp.UnixConnector(str(tmp_path / "control.sock"))
    ) as opened:
        yield opened
    await runner.cleanup()


@pytest.mark.parametrize(("body", "wish"), [("{}", "erase"), ('{"factory_reset":true}', "factory-reset")])
async def test_an_installed_service_asks_for_it(
    session: aiohttp.ClientSession, tmp_path: Path, body: str, wish: str
) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).touch()
    async with session.post("/erase", data=body) as response:
        assert response.status == 200
    assert (tmp_path / REQUEST).read_text().strip() == wish
    async with session.get("/audit") as response:
        assert await response.json() == ["erase"]


async def test_without_installation_nothing_is_erased(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with session.post("/erase", data="{}") as response:
        answer = await response.json()
    assert (response.status, answer["code"]) == (409, "erase_unavailable")
    assert "run `appliance erase`" in answer["error"]
    assert not (tmp_path / REQUEST).exists()


async def test_nonsense_erases_nothing(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with session.post("/erase", data='{"everything": 1}') as response:
        assert response.status == 400
    assert not (tmp_path / REQUEST).exists()
