"""A real Prometheus scrapes a live service with a token, evaluates the rules and the queries of the dashboard.

`make monitoring-test` runs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import yaml

from appliance.identity.roles import Role
from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import camera
from tests.web.requests import picture

FOLDER = Path(__file__).parents[2] / "provisioning" / "monitoring"
_DASHBOARD_S = "1m"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.skipif(not os.environ.get("PROMETHEUS"), reason="needs Prometheus: make monitoring-test")
async def test_prometheus_scrapes_a_live_service_with_a_token(serve: Serve, tmp_path: Path) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, access__loopback="nobody") as running:
        store = running.started.parts.entrance.tokens
        token = store.add("prometheus", Role.METRICS).token
        sender = store.add("gate", Role.CAMERA).token
        (tmp_path / "token").write_text(token)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(FOLDER / "appliance.rules.yml")],
            "scrape_configs": [
                {
                    "job_name": "appliance",
                    "authorization": {"credentials_file": str(tmp_path / "token")},
                    "static_configs": [{"targets": [running.url.removeprefix("http://")]}],
                }
            ],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        server = await asyncio.create_subprocess_exec(
            "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}", stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with (
                camera(running.url, "gate", sender) as gate,
                aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
            ):
                await gate.push({"image": picture(1), "frame_id": 1})
                await gate.answer(1)
                await _check(session)
        finally:
            server.terminate()
            await server.wait()
            store.revoke("prometheus")
            store.revoke("gate")


async def _check(session: aiohttp.ClientSession) -> None:
    with anyio.fail_after(60):
        while not await _query(session, 'appliance_frames_answered_total{camera="gate"} == 1'):
            await asyncio.sleep(0.2)
        while len(await _query(session, "count_over_time(appliance_ready[1m]) > 3")) == 0:
            await asyncio.sleep(0.2)
    assert await _query(session, 'up{job="appliance"} == 1')
    async with session.get("/api/v1/rules") as answer:
        (group,) = (await answer.json())["data"]["groups"]
    assert [rule["name"] for rule in group["rules"] if rule["health"] == "err"] == []
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    empty = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".+").replace("$__rate_interval", _DASHBOARD_S)
            if "==" not in expression and not await _query(session, expression):
                empty.append(expression)
    no_sensor = {"appliance_soc_temperature_celsius"}
    assert [one for one in empty if not any(name in one for name in no_sensor)] == []


async def _query(session: aiohttp.ClientSession, expression: str) -> list[Any]:
    """The series of an expression. It fails if Prometheus does not understand it."""
    try:
        async with session.get("/api/v1/query", params={"query": expression}) as answer:
            body = await answer.json()
    except aiohttp.ClientConnectorError:
        return []  # it is starting
    assert body["status"] == "success", body
    result: list[Any] = body["data"]["result"]
    return result
