"""`serve --camera`: the demo camera reaches its own service, whatever other settings exist on the machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from appliance.service.demo_camera import run_camera
from tests.conftest import Serve


async def test_the_demo_camera_passes_its_token_and_ignores_other_settings_files(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, own = tmp_path / "others.toml", tmp_path / "own.toml"
    others.write_text("[camera]\nsave_dri = 'a mistake'\n")
    own.write_text('[cameras.demo]\ntoken = "opensesame"\n')
    async with serve(toml=own, server__require_token="true") as running:
        monkeypatch.setenv("APPLIANCE_CONFIG", str(others))
        task = asyncio.create_task(run_camera("demo", running.url, "opensesame"))
        stats = running.started.parts.path.pace.stats
        with anyio.fail_after(20):
            while "demo" not in stats() or not stats()["demo"].answered:
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
