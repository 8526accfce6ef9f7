"""The first start, and tokens that other programs change while the service runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import socketio

from appliance.identity.roles import Role
from appliance.identity.tokens import FILE, TokenStore
from appliance.service.entrance import FIRST_TOKEN
from tests.conftest import Serve

ELSEWHERE = {"X-Forwarded-For": "192.168.1.77"}


async def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)


async def test_a_device_that_others_can_reach_makes_one_token_for_the_operator(serve: Serve, tmp_path: Path) -> None:
    exposed = {"server__host": "0.0.0.0", "state__dir": str(tmp_path)}
    async with serve(**exposed) as running:
        first = running.started.first_token
        assert first is not None
        assert first.path.read_text().strip() == first.token
        assert first.path.stat().st_mode & 0o777 == 0o600
        headers = ELSEWHERE | {"Authorization": f"Bearer {first.token}", "X-Forwarded-Proto": "https"}
        async with aiohttp.ClientSession(running.url, headers=headers) as far, far.get("/health/history") as answer:
            assert answer.status == 200
        await until(lambda: not first.path.exists())
    async with serve(**exposed) as running:
        assert running.started.first_token is None
        assert not (tmp_path / FIRST_TOKEN).exists()


async def test_a_device_that_only_listens_on_loopback_makes_none(serve: Serve, tmp_path: Path) -> None:
    async with serve(state__dir=str(tmp_path)) as running:
        assert running.started.first_token is None
        assert not (tmp_path / FILE).exists()
        assert "tokens_unusable" not in [found["code"] for found in running.report()["findings"]]


async def test_without_a_place_for_tokens_only_this_machine_gets_answers(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with serve(server__host="0.0.0.0", state__dir=str(tmp_path / "file/state")) as running:
        assert running.started.first_token is None
        assert "tokens_unusable" in [found["code"] for found in running.report()["findings"]]
        async with aiohttp.ClientSession(running.url, headers=ELSEWHERE) as far, far.get("/health") as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "setup_needed")
        async with aiohttp.ClientSession(running.url) as near, near.get("/health/history") as answer:
            assert answer.status == 200


async def test_a_first_token_that_cannot_be_kept_is_none_and_the_next_start_makes_it(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exposed = {"server__host": "0.0.0.0", "state__dir": str(tmp_path)}
    (tmp_path / FIRST_TOKEN / "in the way").mkdir(parents=True)
    async with serve(**exposed) as running:
        assert running.started.first_token is None
        assert TokenStore(tmp_path / FILE).records == ()
        (finding,) = (found for found in running.report()["findings"] if found["code"] == "tokens_unusable")
        assert f"cannot write {tmp_path / FIRST_TOKEN}" in finding["what"]
        assert "is used" not in caplog.text
    (tmp_path / FIRST_TOKEN / "in the way").rmdir()
    (tmp_path / FIRST_TOKEN).rmdir()
    async with serve(**exposed) as running:
        assert running.started.first_token is not None


async def test_a_token_that_another_program_revokes_ends_its_connections(serve: Serve, tmp_path: Path) -> None:
    async with serve(state__dir=str(tmp_path)) as running:
        running.add_token()
        made = running.started.parts.entrance.tokens.add("gate", Role.CAMERA)
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(running.url, headers=ELSEWHERE, auth={"token": made.token}, transports=["websocket"])
        TokenStore(tmp_path / FILE).revoke("gate")
        await asyncio.wait_for(client.wait(), 20)


async def test_short_tokens_in_the_settings_are_reported(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text('[cameras.gate]\ntoken = "0123456789a"\n[cameras.yard]\ntoken = "0123456789ab"\n')
    async with serve(toml=toml, server__api_key="api-secret") as running:
        (finding,) = (found for found in running.report()["findings"] if found["code"] == "token_short")
        assert finding["values"]["settings"] == ("server.api_key", "cameras.gate.token")
        assert "api-secret" not in str(running.report())
