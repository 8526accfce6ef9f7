"""A program on the device is its operator; nobody else is, however it introduces itself."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.identity.brake import Brake
from appliance.identity.roles import May, Role
from appliance.identity.tokens import TokenStore
from appliance.web import identify
from appliance.web.access import Access
from appliance.web.authenticator import Authenticator
from appliance.web.respond import Respond
from tests.fakes import FakeClock


async def act(request: web.Request) -> web.Response:
    who = identify.require(request, May.OPERATE)
    return web.json_response({"name": who.name, "role": who.role and who.role.value})


@pytest.fixture
async def device() -> TestClient[web.Request, web.Application]:
    respond = Respond(compression=False, compression_min_bytes=0)
    authenticator = Authenticator(Access(), TokenStore(None), Brake(FakeClock()))
    authenticator.tokens.add("anna", Role.OPERATOR)
    app = web.Application(middlewares=[identify.middleware(authenticator, respond)])
    app.add_routes([web.post("/act", act)])
    return TestClient(TestServer(app, host="127.0.0.1"))


async def post(device: TestClient[web.Request, web.Application], **headers: str) -> tuple[int, dict[str, object]]:
    async with device, device.post("/act", headers={k.replace("_", "-"): v for k, v in headers.items()}) as response:
        return response.status, await response.json()


async def test_a_program_on_the_device_is_its_operator(device: TestClient[web.Request, web.Application]) -> None:
    assert await post(device) == (200, {"name": "loopback", "role": "operator"})


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Forwarded_For": "192.168.1.7, 127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X_Real_IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_proxied_or_foreign_request_from_loopback_is_not(
    device: TestClient[web.Request, web.Application], headers: dict[str, str]
) -> None:
    status, answer = await post(device, **headers)
    assert (status, answer["code"]) == (401, "unauthorized")
