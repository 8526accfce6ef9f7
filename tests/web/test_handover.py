"""A device behind a front: names must agree, cameras are sent away, and the front is asked to offer them elsewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import socketio
from aiohttp import web

from appliance.control.client import Control, NoService
from appliance.service.site import Site
from tests.camera.agents import FakeSource, pushing, until
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import camera
from tests.web.requests import picture

FRONT = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    return Control([tmp_path_factory.mktemp("site") / "c.sock"])


@pytest.fixture(scope="module")
async def behind(serve: Serve, control: Control) -> AsyncIterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        agent_port = free.getsockname()[1]
    flags = {
        "server__trusted_proxies": "127.0.0.1",
        "site__agent_port": str(agent_port),
        "flow__burst": "100",
        "access__auth": "off",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPLIANCE_CONTROL", str(control.sockets[0]))
        async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags) as running:
            yield running


@pytest.fixture
async def site(behind: Running) -> AsyncIterator[Site]:
    parts = behind.started.parts.site
    yield parts
    assert parts.mover is not None
    parts.mover.drain(False)


class Plain:
    """A client that knows nothing of sites, behind a front."""

    def __init__(self) -> None:
        self.client: Any = socketio.AsyncClient(reconnection=False)
        self.heard: list[tuple[str, Any]] = []
        self.gone = asyncio.Event()
        self.client.on("*", lambda event, payload=None: self.heard.append((event, payload)))
        self.client.on("disconnect", lambda *_: self.gone.set())

    async def connect(self, url: str, name: str, query: str | None = None, **headers: str) -> None:
        await self.client.connect(
            f"{url}?camera={query or name}", auth={"name": name}, headers=FRONT | headers, transports=["websocket"]
        )


async def asked(running: Running) -> str:
    assert running.started.parts.site.agent_check is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", running.started.parts.site.agent_check.port)
    line = await reader.read()
    writer.close()
    return line.decode()


async def test_the_agent_check_answers_one_line(behind: Running, site: Site) -> None:
    assert await asked(behind) == "100% up ready\n"
    assert site.mover is not None
    site.mover.drain(True)
    assert await asked(behind) == "drain\n"


async def test_a_client_under_another_name_than_in_its_url_is_refused(behind: Running) -> None:
    refused: list[Any] = []
    client: Any = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", refused.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(f"{behind.url}?camera=yard", auth={"name": "gate"}, transports=["websocket"])
    assert refused[0]["data"] == {"code": "name_mismatch", "retry_after": None}
    await client.disconnect()


async def test_names_that_are_equal_in_their_normal_form_agree(behind: Running) -> None:
    client = Plain()
    await client.connect(behind.url, "front  gate", "front%20gate")
    await client.client.disconnect()


async def test_a_drain_moves_a_plain_client_after_its_answers_and_only_if_it_came_through_the_front(
    behind: Running, site: Site, control: Control
) -> None:
    through, direct = Plain(), Plain()
    await through.connect(behind.url, "gate")
    await direct.client.connect(behind.url, auth={"name": "yard"}, transports=["websocket"])
    await through.client.call("process_frame", {"image": picture(1), "frame_id": 7}, timeout=20)
    assert (await anyio.to_thread.run_sync(control.drain)).cameras == 1
    await asyncio.wait_for(through.gone.wait(), 20)
    events = [event for event, _ in through.heard]
    assert ("moved", {"reason": "draining", "moved": "1"}) in through.heard
    assert "detection_results" in events
    assert not direct.gone.is_set()
    assert behind.report()["findings"][-1]["code"] == "drained"
    status = await anyio.to_thread.run_sync(control.site)
    assert (status.drained, status.cameras, status.moved["draining"]) == (True, 0, 1)
    async with aiohttp.ClientSession() as session:
        url = f"{behind.url}/socket.io/?EIO=4&transport=polling&camera=gate"
        async with session.get(url, headers=FRONT) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "moved")
        async with session.get(url) as answer:  # not through the front: there is no other device for it
            assert answer.status == 200
    assert not (await anyio.to_thread.run_sync(control.undrain)).drained
    await direct.client.disconnect()


async def test_nothing_is_read_from_a_held_client(behind: Running, site: Site) -> None:
    client = Plain()
    await client.connect(behind.url, "held")
    await client.client.call("process_frame", {"image": picture(1)}, timeout=20)
    path = behind.started.parts.path
    (sid,) = path.publisher.clients_of("held")
    path.connections.hold(sid, 3600)
    sent = asyncio.create_task(client.client.call("process_frame", {"image": picture(2)}, timeout=60))
    async with camera(behind.url, "other") as other:  # what has come before is read before
        await other.push({"image": picture(3), "frame_id": 3})
        await other.answer(3)
    held = path.book.get("held")
    assert held is not None
    assert held.received == 1, "it was read during the hold"
    path.connections.hold(sid, 0.01)
    assert (await sent)["status"] == "queued"
    await client.client.disconnect()


async def test_an_agent_that_is_asked_to_move_connects_again_with_what_it_was_given(
    behind: Running, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[dict[str, str]] = []
    assert site.mover is not None

    def note(request: web.BaseRequest) -> bool:
        queries.append(dict(request.query))
        return False

    monkeypatch.setattr(behind.started.parts.path.connections, "passes_on", note)
    async with pushing(behind.url, FakeSource()) as results:
        await until(results, 2)
        (sid,) = behind.started.parts.path.publisher.clients_of("lens")
        behind.started.parts.path.publisher.post(sid, "moved", {"reason": "hot", "moved": "box2"})
        count = len(results)
        await until(results, count + 3)
    assert [query.get("moved") for query in queries] == [None, "box2"]
    assert {query["camera"] for query in queries} == {"lens"}


async def test_drain_says_what_is_missing_on_a_device_without_a_front(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "c.sock"))
    async with serve(FakeEngine(CANARY_ROWS)):
        with pytest.raises(NoService, match=r"Set site\.agent_port") as refused:
            await anyio.to_thread.run_sync(Control([tmp_path / "c.sock"]).drain)
    assert refused.value.code == "site_off"
