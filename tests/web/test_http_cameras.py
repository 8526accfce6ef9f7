"""HTTP requests and the cameras that they count as."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from appliance.errors import BadFrame
from appliance.identity.brake import Brake
from appliance.identity.roles import AccessDenied, Role, of_role
from appliance.identity.tokens import TokenStore
from appliance.web.access import Access
from appliance.web.authenticator import Authenticator
from appliance.web.http_cameras import FORGET_S, MOST_NAMES, HttpCameras
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeClock, FakeEngine
from tests.web.camera import camera
from tests.web.requests import form, picture

DETECT = "/v1/vision/detection"
ELSEWHERE = {"X-Forwarded-For": "192.168.1.77"}


async def post(running: Running, *, headers: dict[str, str] | None = None, **fields: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(running.url) as session,
        session.post(DETECT, data=form(image=picture(1), **fields), headers=headers) as answer,
    ):
        return answer.status, await answer.json()


def cameras_of(running: Running) -> set[str]:
    return {name for name in running.started.parts.path.pace.stats() if not name.startswith("_")}


@pytest.fixture
async def site(serve: Serve) -> Any:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        yield running


async def test_all_requests_of_one_client_are_one_camera(site: Running) -> None:
    answers = await asyncio.gather(*(post(site) for _ in range(6)))
    assert [status for status, _ in answers] == [200] * 6  # none replaced another
    assert cameras_of(site) == {"http-127.0.0.1"}
    store = site.started.parts.entrance.tokens
    store.add("ana", Role.OPERATOR)
    token = store.add("blue iris", Role.INTEGRATION).token
    try:
        assert (await post(site, api_key=token))[0] == 200
        assert (await post(site, headers=ELSEWHERE | {"Authorization": f"Bearer {token}"}))[0] == 200
    finally:
        store.revoke("blue iris")
        store.revoke("ana")
    assert cameras_of(site) == {"http-127.0.0.1", "http-blue iris"}


async def test_two_clients_that_give_no_name_have_events_of_their_own(serve: Serve) -> None:
    """With one token between them they would be one: it is the name of a client."""
    fast = {"events.on_delay_s": "0", "cache.enabled": "false"}
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **fast) as running:
        for address in ("127.0.0.1", "127.0.0.2"):
            connector = aiohttp.TCPConnector(local_addr=(address, 0))
            async with aiohttp.ClientSession(running.url, connector=connector) as session:
                for path in (DETECT, "/detect"):
                    async with session.post(path, data=picture(1)) as answer:
                        assert answer.status == 200
        events = running.started.parts.path.feed.recall(lambda camera: True).events
        assert {event.camera for event in events} == {"http-127.0.0.1", "http-127.0.0.2"}


async def test_a_request_names_its_camera_in_the_form_the_query_or_a_header(site: Running) -> None:
    assert (await post(site, camera="Portão  principal"))[0] == 200
    assert (await post(site, headers={"X-Camera": "yard"}))[0] == 200
    async with (
        aiohttp.ClientSession(site.url) as session,
        session.post(DETECT, params={"camera": "door"}, data=picture(1)) as answer,
    ):
        assert answer.status == 200
    async with (
        aiohttp.ClientSession(site.url) as session,
        session.post("/detect", params={"camera": "shed"}, data=picture(1)) as answer,
    ):
        assert (answer.status, (await answer.json())["camera"]) == (200, "shed")
    assert cameras_of(site) == {"Portão principal", "yard", "door", "shed"}
    for name in ("http-1", "_canary", "x" * 65, "a\u202eb", "é" * 1000):
        status, answer = await post(site, camera=name)
        assert (status, answer["code"]) == (400, "name_invalid"), name


async def test_a_cameras_token_posts_under_its_own_name_only(site: Running) -> None:
    store = site.started.parts.entrance.tokens
    store.add("ana", Role.OPERATOR)
    token, other = (store.add(name, Role.CAMERA).token for name in ("gate", "yard"))
    integration = store.add("nvr", Role.INTEGRATION).token
    try:
        assert (await post(site, headers=ELSEWHERE, api_key=token))[0] == 200
        assert (await post(site, headers=ELSEWHERE, api_key=token, camera="gate"))[0] == 200
        for key in (other, integration):
            status, answer = await post(site, headers=ELSEWHERE, api_key=key, camera="gate")
            assert (status, answer["code"]) == (403, "forbidden")
        assert cameras_of(site) == {"gate"}
        async with (
            aiohttp.ClientSession(site.url, headers=ELSEWHERE) as session,
            session.get("/v1/vision/custom/list", params={"api_key": token}) as answer,
        ):
            assert answer.status == 403
    finally:
        for name in ("ana", "gate", "yard", "nvr"):
            store.revoke(name)


async def test_the_name_of_a_connected_camera_is_taken(site: Running) -> None:
    async with camera(site.url, "gate") as gate:
        await gate.first("connected")
        status, answer = await post(site, camera="gate")
        assert (status, answer["code"]) == (409, "name_taken")


def test_one_address_names_a_limited_number_of_cameras() -> None:
    clock = FakeClock()
    authenticator = Authenticator(Access(), TokenStore(None), Brake(clock))
    cameras = HttpCameras(authenticator, lambda name: False, clock)
    sender, other = (of_role("nvr", Role.INTEGRATION, address) for address in ("10.0.0.5", "10.0.0.6"))
    for number in range(MOST_NAMES):
        cameras.name_of(sender, f"camera {number}")
    for number in range(5000):
        with pytest.raises(BadFrame, match="too many cameras"):
            cameras.name_of(sender, f"more {number}")
    assert cameras.name_of(sender, "camera 7") == "camera 7"
    assert cameras.name_of(other, "yard") == "yard"
    clock.now_s += FORGET_S + 1
    assert cameras.name_of(sender, "later") == "later"


def test_a_key_that_means_nothing_is_ignored_where_none_is_required() -> None:
    authenticator = Authenticator(Access(), TokenStore(None), Brake(FakeClock()))
    cameras = HttpCameras(authenticator, lambda name: False, FakeClock())
    request = make_mocked_request("POST", DETECT)
    here = of_role("loopback", Role.OPERATOR, "127.0.0.1")
    assert cameras.permit(request, here, "anything", "") is here
    with pytest.raises(AccessDenied, match="Incorrect api key"):
        cameras.permit(request, of_role("viewer", Role.VIEWER), "", "")
