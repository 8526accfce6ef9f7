"""The example clients of docs/clients run unchanged."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import web

from appliance.values import Limits
from tests.clients.conftest import INSTALLED, client
from tests.conftest import ROOT, Serve
from tests.web.requests import picture

CLIENTS = ROOT / "docs" / "clients"


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_frames_are_answered_and_limits_are_kept(
    serve: Serve, tmp_path: Path, language: str, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "frame.jpg").write_bytes(picture(1))
    if language == "python":
        program = [sys.executable, str(CLIENTS / "camera.py")]
    else:
        program = [request.getfixturevalue("node"), str(CLIENTS / "camera.js")]
    async with serve(cache__enabled="false", flow__min_interval_s="0.1") as running:
        command = (*program, running.url, "gate", str(tmp_path / "frame.jpg"))
        async with client(*command, NODE_PATH=str(INSTALLED / "node_modules")) as out:
            for number in range(12):
                line = (await asyncio.wait_for(out.readline(), 30)).decode()
                assert line.startswith("detection_results")
                assert "stop sign" in line
                if number == 5:
                    running.started.parts.path.detector.apply(Limits(320, 0.3, 1, reason="temperature"))
            stats = running.started.parts.path.pace.stats()["gate"]
            assert stats.skipped == {}
            assert stats.answered >= 12


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_client_that_is_sent_away_connects_again_with_what_it_was_given(
    serve: Serve, tmp_path: Path, language: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "frame.jpg").write_bytes(picture(1))
    program = [sys.executable, str(CLIENTS / "camera.py")]
    if language == "javascript":
        program = [request.getfixturevalue("node"), str(CLIENTS / "camera.js")]
    places: list[dict[str, str]] = []
    async with serve(cache__enabled="false", flow__min_interval_s="0.1") as running:
        path = running.started.parts.path

        def note(asked: web.BaseRequest) -> bool:
            places.append(dict(asked.query))
            return False

        monkeypatch.setattr(path.connections, "passes_on", note)
        command = (*program, running.url, "gate", str(tmp_path / "frame.jpg"))
        async with client(*command, NODE_PATH=str(INSTALLED / "node_modules")) as out:
            await asyncio.wait_for(out.readline(), 30)
            (sid,) = path.publisher.clients_of("gate")
            path.publisher.post(sid, "moved", {"reason": "draining", "moved": "box2"})
            for _ in range(8):
                line = (await asyncio.wait_for(out.readline(), 30)).decode()
                assert line.startswith("detection_results")
    assert [(place["camera"], place.get("moved")) for place in places] == [("gate", None), ("gate", "box2")]


def test_the_examples_are_short() -> None:
    """Empty lines and comments do not count."""
    lines = (CLIENTS / "camera.py").read_text(encoding="utf-8").split('"""')[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
    lines = (CLIENTS / "camera.js").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.strip().startswith("//")]) <= 35
