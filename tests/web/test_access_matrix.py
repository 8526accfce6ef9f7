"""Every route, event and control verb, tried by every role and by nobody.

The routes are read from the running service: a new one without an entry in `appliance/web/policy.py` requires an
operator, and fails here until it is listed. So does an entry for a route that no longer exists.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import socketio

from appliance import __version__
from appliance.control import governor
from appliance.identity.roles import PERMISSIONS, May, Role
from appliance.service.run import control_verbs
from appliance.web import policy
from appliance.web.ingress.handler import SERVER
from appliance.web.packets import EVENTS
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.requests import picture

FROM_ELSEWHERE = {"X-Forwarded-For": "192.168.1.77"}
"""Makes a request from this machine one of a stranger."""
SELF_CHECKED = policy.SELF_CHECKED
CALLERS = (*Role, None)


@dataclass(frozen=True, slots=True)
class Site:
    """A service that strangers can reach, and a token of each role."""

    running: Running
    tokens: dict[Role, str]

    def headers(self, role: Role | None) -> dict[str, str]:
        return FROM_ELSEWHERE if role is None else FROM_ELSEWHERE | {"Authorization": f"Bearer {self.tokens[role]}"}

    def routes(self) -> list[tuple[str, str]]:
        """Method and path of each route."""
        found = []
        for route in self.running.started.parts.app.router.routes():
            assert route.resource is not None
            if route.method != "HEAD":
                found.append((route.method, route.resource.canonical))
        return found


@pytest.fixture(scope="module")
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        store = running.started.parts.entrance.tokens
        for record in store.records:
            store.revoke(record.name)
        tokens = {role: store.add(role.value, role).token for role in Role}
        yield Site(running, tokens)
        for role in Role:
            store.revoke(role.value)


def test_every_role_has_its_permissions() -> None:
    assert PERMISSIONS[Role.OPERATOR] == frozenset(May)
    assert PERMISSIONS[Role.CAMERA] == {May.SEND}
    assert PERMISSIONS[Role.METRICS] == {May.METRICS}
    for role in (Role.VIEWER, Role.CAMERA, Role.INTEGRATION, Role.METRICS):
        assert May.OPERATE not in PERMISSIONS[role]


async def test_every_route_has_a_policy_and_every_policy_a_route(site: Site) -> None:
    assert {path for _, path in site.routes()} == set(policy.ROUTES)


def test_every_event_has_a_policy() -> None:
    assert set(policy.EVENTS) == set(EVENTS)


@pytest.mark.parametrize("caller", CALLERS, ids=lambda role: role.value if role else "nobody")
async def test_each_caller_may_call_exactly_what_its_role_permits(site: Site, caller: Role | None) -> None:
    may = PERMISSIONS[caller] if caller is not None else frozenset()
    async with aiohttp.ClientSession(site.running.url, headers=site.headers(caller)) as session:
        for method, path in site.routes():
            listed = policy.ROUTES[path]
            required = SELF_CHECKED.get(path, None if listed is None else {listed})
            if path == "/socket.io/" or (path in SELF_CHECKED and method == "*"):
                continue  # each event is authenticated; the other methods are refused for everyone
            url = re.sub(r"\{.*?\}", "x", path)
            json = {"token": "wrong"} if path == "/session" else None
            data = picture(1) if json is None and method == "POST" else None
            async with session.request("GET" if method == "*" else method, url, json=json, data=data) as answer:
                refused = answer.status in (401, 403)
                if path == "/session" and method == "POST":
                    assert answer.status == 401  # a wrong token is wrong for everyone
                    continue
                permitted = required is None or not required.isdisjoint(may)
                assert refused is not permitted, (method, path, answer.status, await answer.text())
                if refused:
                    body = await answer.json()
                    assert body["code"] == ("unauthorized" if caller is None else "forbidden"), path


async def test_nobody_learns_a_version_or_the_model(site: Site) -> None:
    """Neither from an answer nor from its header `Server`, also where the request has no route or is no HTTP."""
    async with aiohttp.ClientSession(site.running.url, headers=FROM_ELSEWHERE) as session:
        for method, path in [*site.routes(), ("GET", "/none"), ("PUT", "/health")]:
            url = re.sub(r"\{.*?\}", "x", path)
            data = picture(1) if method == "POST" else None
            async with session.request("GET" if method == "*" else method, url, data=data) as answer:
                text = await answer.text()
            assert answer.headers["Server"] == SERVER, path
            assert "'fake'" not in text, path
            assert f'"{__version__}"' not in text, path
    reader, writer = await asyncio.open_connection(*site.running.url.removeprefix("http://").split(":"))
    writer.write(b"no HTTP\r\n\r\n")
    assert f"\r\nServer: {SERVER}\r\n" in (await asyncio.wait_for(reader.read(), 30)).decode()
    writer.close()


@pytest.mark.parametrize("caller", CALLERS, ids=lambda role: role.value if role else "nobody")
async def test_each_caller_may_send_exactly_the_events_that_its_role_permits(site: Site, caller: Role | None) -> None:
    may = PERMISSIONS[caller] if caller is not None else frozenset()
    client = socketio.AsyncSimpleClient()
    auth = {"token": site.tokens[caller]} if caller is not None else None
    connecting = client.connect(site.running.url, headers=FROM_ELSEWHERE, auth=auth, transports=["websocket"])
    if may.isdisjoint(policy.EVENTS.values()):
        with pytest.raises(socketio.exceptions.ConnectionError):
            await connecting
        return
    await connecting
    try:
        for event, required in policy.EVENTS.items():
            payload = picture(1) if event == "process_frame" else {"cameras": "*"}
            answer = await client.call(event, payload, timeout=10)
            refused = "unauthorized" in str(answer)
            assert refused is (required not in may), (event, answer)
    finally:
        await client.disconnect()


@pytest.mark.parametrize("caller", CALLERS, ids=lambda role: role.value if role else "nobody")
async def test_no_caller_reaches_the_verbs_of_the_control_socket(site: Site, caller: Role | None) -> None:
    """They are served on a Unix socket, which only its owner and root can open."""
    parts = site.running.started.parts
    routes = [*governor.routes(parts.governor, parts.entrance.audit), *control_verbs(parts, "fake")]
    verbs = [(route.method, route.path) for route in routes]
    assert ("POST", "/token/add") in verbs
    async with aiohttp.ClientSession(site.running.url, headers=site.headers(caller)) as session:
        for method, path in verbs:
            async with session.request(method, path, json={} if method == "POST" else None) as answer:
                assert answer.status == 404, path
