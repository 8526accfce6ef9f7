"""Activating a model over the control socket while the service runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from appliance.control.models import routes
from appliance.flow.activation import Activation
from appliance.flow.inference import Inference
from appliance.identity.audit import Audit
from tests.fakes import CANARY_ROWS, FakeEngine, fake_network
from tests.flow.detectors import Rig, running


class ModelRoutes:
    """The routes on a Unix socket, and a client."""

    def __init__(self, session: aiohttp.ClientSession, rig: Rig) -> None:
        self._session, self.rig = session, rig

    async def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        async with self._session.post(f"http://localhost{path}", json=body) as response:
            return response.status, await response.json()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ModelRoutes]:
    rig = Rig(FakeEngine(CANARY_ROWS))
    engines = {"a": rig.engine, "b": FakeEngine(CANARY_ROWS), "blind": FakeEngine()}

    def load(name: str) -> Inference:
        return Inference(fake_network(engines[name], name), clock=rig.clock)

    rig.detector.in_use.inference = load("a")
    app = web.Application()
    activation = Activation(detector=rig.detector, load=load, max_side=640, clock=rig.clock)
    app.add_routes(routes(activation, Audit(), tmp_path, "a"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
        connector = aiohttp.UnixConnector(path=str(tmp_path / "control.sock"))
        async with running(rig), aiohttp.ClientSession(connector=connector) as session:
            yield ModelRoutes(session, rig)
    finally:
        await runner.cleanup()


async def test_a_working_model_is_activated_and_a_broken_one_is_rejected(service: ModelRoutes) -> None:
    status, content = await service.post("/model/activate", {"name": "b"})
    assert (status, content["model"], content["former"]) == (200, "b", "a")
    assert (content["likeness"], content["pictures"]) == (1.0, 1)
    status, content = await service.post("/model/activate", {"name": "blind"})
    assert (status, content["code"]) == (409, "model_not_activated")
    assert "the self-test failed" in content["error"]
    assert service.rig.detector.network is not None
    assert service.rig.detector.network.info.name == "b"


@pytest.mark.parametrize("body", [None, {}, {"name": 7}, {"name": "b", "nmae": "c"}])
async def test_an_invalid_request_is_rejected(service: ModelRoutes, body: object) -> None:
    status, content = await service.post("/model/activate", body)
    assert (status, content["code"]) == (400, "option_invalid")


@pytest.mark.parametrize("name", ["", "../elsewhere", "/etc", ".new-abcdefgh", "a\x1b[2J", "a\x00"])
async def test_a_name_outside_the_model_folder_is_rejected(service: ModelRoutes, name: str) -> None:
    status, content = await service.post("/model/activate", {"name": name})
    assert (status, content["code"]) == (409, "model_missing")
    assert "is not a valid model name" in content["error"]
