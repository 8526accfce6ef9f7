"""`appliance cameras` over the control socket of a real service."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from appliance import cli
from tests.conftest import Serve
from tests.web.camera import camera
from tests.web.requests import picture


async def test_cameras_are_listed_and_a_silent_one_is_forgotten(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "control.sock"))

    async def run(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(cli.main, ["cameras", *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    async with serve() as running:
        assert await run("list") == (0, "No camera has sent a frame yet.\n")
        async with camera(running.url, "Portão") as sender:
            await sender.push(picture(1))
            deadline_s = time.monotonic() + 10
            while (await run("list"))[1] != "Portão  sends frames\n":
                assert time.monotonic() < deadline_s
            assert await run("forget", "Portao") == (
                1,
                "appliance: no camera is named 'Portao'; did you mean 'Portão'?\n",
            )
            assert (await run("forget", "x"))[1].endswith(
                "no camera is named 'x'. To see all: appliance cameras list\n"
            )
            assert "is sending; switch it off first" in (await run("forget", "Portão"))[1]
        roster = running.started.parts.vitals.roster
        while roster.sends("Portão"):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.02)
        assert await run("forget", "Portão") == (0, "Forgot the camera Portão.\n")
        assert "Portão" not in roster
