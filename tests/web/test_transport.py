"""Settings of the transport: pings, sizes, origins, compression, names and tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from tests.conftest import Serve
from tests.web.camera import Camera, camera
from tests.web.requests import POLLING, WEBSOCKET, picture


async def handshake(url: str, **headers: str) -> tuple[int, Any, Any]:
    """The status, headers and handshake of a response."""
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url + POLLING) as answer:
        text = await answer.text()
        return answer.status, answer.headers, json.loads(text[1:]) if answer.status == 200 else None


async def test_the_handshake_contains_the_configured_values(serve: Serve) -> None:
    async with serve() as running:
        _, _, usual = await handshake(running.url)
        assert usual["pingInterval"] == 25_000
        assert usual["pingTimeout"] == 60_000
        assert usual["maxPayload"] >= 10_000_000 * 4 / 3
        assert usual["upgrades"] == ["websocket"]
    async with serve(
        server__ping_interval_s="5", server__ping_timeout_s="7.5", server__max_frame_bytes="1000000"
    ) as running:
        _, _, payload = await handshake(running.url)
        assert payload["pingInterval"] == 5_000
        assert payload["pingTimeout"] == 7_500
        assert payload["maxPayload"] == usual["maxPayload"] / 10


@pytest.mark.parametrize(
    ("flags", "origin", "status"),
    [
        ({"profile": "production"}, "http://elsewhere.example", 400),
        ({"profile": "realtime"}, "http://elsewhere.example", 400),
        ({"profile": "development"}, "http://elsewhere.example", 200),
        ({"profile": "production"}, None, 200),
        ({"profile": "production"}, "own", 200),
        ({"server__cors_origins": "http://a.example, http://b.example"}, "http://b.example", 200),
        ({"server__cors_origins": "http://a.example, http://b.example"}, "http://c.example", 400),
    ],
)
async def test_a_browser_may_connect_only_from_an_allowed_origin(
    serve: Serve, flags: dict[str, str], origin: str | None, status: int
) -> None:
    async with serve(**flags) as running:
        headers = {} if origin is None else {"Origin": running.url if origin == "own" else origin}
        got, answer, _ = await handshake(running.url, **headers)
        assert got == status
        if status == 400:
            assert "Access-Control-Allow-Origin" not in answer
        elif origin is not None:
            assert answer["Access-Control-Allow-Origin"] == headers["Origin"]
            assert "Access-Control-Allow-Credentials" not in answer  # other pages must not use the cookies of a proxy


async def test_a_websocket_from_another_origin_is_refused(serve: Serve) -> None:
    async with serve() as running, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(running.url + WEBSOCKET, origin="http://elsewhere.example")


@pytest.mark.parametrize(("setting", "accepted"), [({}, False), ({"server__websocket_deflate": "true"}, True)])
async def test_websocket_compression_is_off_unless_configured(
    serve: Serve, setting: dict[str, str], accepted: bool
) -> None:
    async with (
        serve(**setting) as running,
        aiohttp.ClientSession() as session,
        session.ws_connect(running.url + WEBSOCKET, compress=15) as raw,
    ):
        assert bool(raw.compress) is accepted
        assert (await raw.receive_str()).startswith("0{")


async def refused(url: str, name: str | None = None, token: str | None = None) -> str:
    """The reason that a refused client gets."""
    eye = Camera()
    reasons: list[Any] = []
    eye.client.on("connect_error", reasons.append)
    auth = {key: value for key, value in (("name", name), ("token", token)) if value is not None}
    with pytest.raises(socketio.exceptions.ConnectionError):
        await eye.client.connect(url, auth=auth or None, transports=["websocket"], wait_timeout=10)
    await eye.client.disconnect()
    return str(reasons[0]["message"] if isinstance(reasons[0], dict) else reasons[0])


TOML = """
[server]
viewer_token = "viewer"
[cameras.gate]
token = "secret"
[cameras.open]
weight = 2.0
"""


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "appliance.toml"
    path.write_text(TOML)
    return path


@pytest.mark.parametrize("token", [None, "wrong", "", "viewer", "sécret", "\ud800"])
async def test_a_camera_with_a_configured_token_requires_it(
    serve: Serve, settings_file: Path, token: str | None
) -> None:
    async with serve(toml=settings_file) as running:
        assert await refused(running.url, "gate", token) == "unauthorized: wrong token for camera 'gate'"
        async with camera(running.url, "gate", "secret") as gate:
            assert (await gate.first("connected"))["camera"] == "gate"


async def test_names_without_a_token_are_accepted_unless_tokens_are_required(serve: Serve, settings_file: Path) -> None:
    async with (
        serve(toml=settings_file) as running,
        camera(running.url, "open"),
        camera(running.url, "stranger", "any"),
        camera(running.url),
    ):
        pass
    async with serve(toml=settings_file, server__require_token="true") as running:
        for name in ("open", "stranger"):
            assert "unauthorized" in await refused(running.url, name, "any")
        assert "unauthorized" in await refused(running.url)
        async with camera(running.url, "gate", "secret"), camera(running.url, token="viewer") as viewer:
            assert (await viewer.call("subscribe", {"cameras": "*"}))["status"] == "subscribed"


async def test_require_token_without_a_viewer_token_refuses_unnamed_clients(serve: Serve) -> None:
    async with serve(server__require_token="true") as running:
        for token in (None, "", "\0", "x"):
            assert "unauthorized" in await refused(running.url, token=token)


@pytest.mark.parametrize("name", ["", " ", "..", "_canary", "http-1", "x" * 65, "a\n"])
async def test_an_invalid_name_is_refused(serve: Serve, name: str) -> None:
    async with serve() as running:
        assert "invalid camera name" in await refused(running.url, name)
        async with camera(running.url, "A-1_b.c:9"):
            pass


async def test_subscribing_requires_the_viewer_token(serve: Serve, settings_file: Path) -> None:
    async with serve(toml=settings_file) as running:
        for token in (None, "wrong", "vïewer"):
            async with camera(running.url, token=token) as nosy:
                assert await nosy.call("subscribe", {"cameras": "*"}) == {"status": "error", "reason": "unauthorized"}
        async with camera(running.url, token="viewer") as viewer, camera(running.url, "open") as eye:
            assert (await viewer.call("subscribe", {"cameras": ["open"]}))["status"] == "subscribed"
            await eye.push({"image": picture(1), "frame_id": 1})
            assert (await viewer.answer(1))[1]["camera"] == "open"


async def test_more_connections_than_allowed_are_refused(serve: Serve) -> None:
    async with serve(server__max_connections="2") as running, camera(running.url):
        async with camera(running.url):
            assert "max_connections" in await refused(running.url)
        async with camera(running.url):
            pass
