"""The ESP32 sketch, compiled unchanged against stand-ins for its libraries (esp32/), with a real service.

Tested: the sketch compiles without warnings, follows the wire protocol, and keeps to its limits. Not tested: the board
(memory, camera, network), and anything in the real libraries that the stand-ins lack.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from appliance.values import Limits, Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.camera.cable import cable_to
from tests.conftest import ROOT, Serve

SKETCH = ROOT / "docs" / "clients" / "esp32cam.ino"
BOARD = Path(__file__).with_name("esp32")


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled sketch, with the pictures of its camera in the same folder."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    built = tmp_path_factory.mktemp("esp32") / "sketch"
    done = subprocess.run(
        [compiler, "-std=gnu++17", "-Wall", "-Wextra", "-Werror", "-I", BOARD, "-include", "Arduino.h", "-x", "c++",
         SKETCH, BOARD / "main.cpp", "-o", built],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for size in (Size(640, 480), Size(320, 240), Size(160, 120)):
        (built.parent / f"{size.width}.jpg").write_bytes(encode_jpeg(scene.draw(size)[0], 80))
    return built


class Board:
    """A board that runs the sketch, and its serial output."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines

    async def received(self) -> list[Any]:
        """The next message that it printed: the event and its payload."""
        line = await asyncio.wait_for(self._lines.readline(), 30)
        message: list[Any] = json.loads(line)
        return message


@asynccontextmanager
async def switched_on(sketch: Path, url: str, **environment: str) -> AsyncIterator[Board]:
    own = {"DEVICE_PORT": url.rsplit(":", 1)[1], "PICTURES": str(sketch.parent)}
    process = await asyncio.create_subprocess_exec(
        sketch, stdout=asyncio.subprocess.PIPE, env=os.environ | own | environment
    )
    assert process.stdout is not None
    try:
        yield Board(process.stdout)
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("library", ["new", "old"])
async def test_frames_are_answered_and_limits_are_kept(serve: Serve, sketch: Path, library: str) -> None:
    """An old library reports the CONNECT twice; the sketch must join only once."""
    options = {"CONNECTS_TWICE": "1"} if library == "old" else {}
    async with (
        serve(cache__enabled="false", flow__min_interval_s="0.1") as running,
        switched_on(sketch, running.url, **options) as board,
    ):
        for _ in range(6):
            event, found = await board.received()
            assert event == "detection_results"
            assert found["detections"][0]["name"] == "stop sign"
            assert found["image_size"] == {"width": 640, "height": 480}
        running.started.parts.path.detector.apply(Limits(320, 0.3, 1, reason="temperature"))
        for number in range(6):
            event, found = await board.received()
            assert event == "detection_results"
            assert number == 0 or found["image_size"] == {"width": 320, "height": 240}  # the first one was sent before
        stats = running.started.parts.path.pace.stats()
        assert set(stats) - {"_canary"} == {"gate"}
        assert stats["gate"].skipped == {}
        assert stats["gate"].answered >= 12


async def test_the_sketch_reconnects_when_the_device_stops_responding(serve: Serve, sketch: Path) -> None:
    async with (
        serve(cache__enabled="false") as running,
        cable_to(running.url) as cable,
        switched_on(sketch, cable.url, CLOCK_RATE="20") as board,
    ):
        await board.received()
        cable.pull()
        with anyio.fail_after(20):
            while cable.connections < 2:
                await asyncio.sleep(0.01)

        def answered() -> int:
            known = running.started.parts.path.pace.stats().get("gate")
            return known.answered if known else 0  # it has left, and is not back yet

        before = answered()
        cable.plug_in()
        with anyio.fail_after(20):
            while answered() <= before + 1:
                await board.received()


async def test_the_sketch_prints_a_refusal_and_tries_again(serve: Serve, sketch: Path) -> None:
    async with (
        serve(server__require_token="true") as running,
        switched_on(sketch, running.url, CLOCK_RATE="50") as board,
    ):
        for _ in range(2):
            refused: Any = await board.received()
            assert "unauthorized" in refused["message"]


async def test_a_sketch_that_is_sent_away_connects_again_with_what_it_was_given(
    serve: Serve, sketch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two frames, and only once: after the connection is lost it asks for no device."""
    places: list[tuple[str, str | None]] = []
    async with serve(cache__enabled="false", flow__min_interval_s="0.1") as running:
        path = running.started.parts.path

        def note(asked: web.BaseRequest) -> bool:
            places.append((asked.query["camera"], asked.query.get("moved")))
            return False

        monkeypatch.setattr(path.connections, "passes_on", note)
        async with switched_on(sketch, running.url) as board:
            await board.received()
            (sid,) = path.publisher.clients_of("gate")
            path.publisher.post(sid, "moved", {"reason": "draining", "moved": "box2"})
            while len(places) < 2:
                assert (await board.received())[0] == "detection_results"
            await board.received()
            (sid,) = path.publisher.clients_of("gate")
            await path.connections.end(sid, "test")
            while len(places) < 3:
                assert (await board.received())[0] == "detection_results"
    assert places == [("gate", None), ("gate", "box2"), ("gate", None)]
