"""Activating a model from beside the service, over a Unix socket, while it serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from appliance.control.models import routes
from appliance.flow.inference import Inference
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.flow.detectors import Rig, running
from tests.flow.test_activation import activation, inference


class Asked:
    """The service's side on a socket, and who asks."""

    def __init__(self, session: aiohttp.ClientSession, rig: Rig) -> None:
        self._session, self.rig = session, rig

    async def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        async with self._session.post(f"http://box{path}", json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    rig = Rig(FakeEngine(CANARY_ROWS))
    first: Inference = inference(rig, rig.engine, "a")
    rig.detector.inference = first
    app = web.Application()
    app.add_routes(routes(activation(rig, FakeEngine(CANARY_ROWS), FakeEngine()), tmp_path, "a"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
        connector = aiohttp.UnixConnector(path=str(tmp_path / "control.sock"))
        async with running(rig), aiohttp.ClientSession(connector=connector) as session:
            yield Asked(session, rig)
    finally:
        await runner.cleanup()


async def test_a_model_is_activated_and_a_blind_one_is_not(asked: Asked) -> None:
    status, told = await asked.post("/model/activate", {"name": "b"})
    assert (status, told["model"], told["former"], told["likeness"], told["pictures"]) == (200, "b", "a", 1.0, 1)
    status, told = await asked.post("/model/activate", {"name": "blind"})
    assert (status, told["code"]) == (409, "model_not_activated")
    assert "does not see the drawn stop sign" in told["error"]
    assert asked.rig.detector.network is not None
    assert asked.rig.detector.network.info.name == "b"


@pytest.mark.parametrize("body", [None, {}, {"name": 7}, {"name": "b", "nmae": "c"}])
async def test_what_cannot_be_meant_is_said(asked: Asked, body: object) -> None:
    status, told = await asked.post("/model/activate", body)
    assert (status, told["code"]) == (400, "option_invalid")


@pytest.mark.parametrize("name", ["", "../elsewhere", "/etc", ".new-abcdefgh", "a\x1b[2J", "a\x00"])
async def test_a_model_outside_the_folder_is_not_loaded(asked: Asked, name: str) -> None:
    status, told = await asked.post("/model/activate", {"name": name})
    assert (status, told["code"]) == (409, "model_missing")
    assert "cannot be a model's name" in told["error"]
