"""The page of a service that is too hot for inference: it shows what a camera sees now, so that it can be aimed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web import chromium
from tests.web.camera import Camera, camera
from tests.web.page_checks import keep, violations

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`")

MIDDLE = (
    "(({ width, height }) => [...document.querySelector('#cameras canvas').getContext('2d')"
    ".getImageData(width / 2, height / 2, 1, 1).data])(document.querySelector('#cameras canvas'))"
)
FINDINGS = "document.querySelector('#findings').innerText"
WITHIN_S = 30


@pytest.fixture
async def browser() -> AsyncIterator[int]:
    async with chromium.running() as port:
        yield port


def coloured(red: int, green: int, blue: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 180), (red, green, blue)).save(file, "JPEG", quality=90)
    return file.getvalue()


def heat(board: Path, temp_c: float) -> None:
    """Let a board's sensor report a temperature."""
    zone = board / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "type").write_text("cpu-thermal\n", encoding="ascii")
    (zone / "temp").write_text(f"{temp_c * 1000:.0f}\n", encoding="ascii")


async def show(tab: chromium.Tab, gate: Camera, colour: tuple[int, int, int]) -> None:
    """Send pictures of one colour, each answered as skipped, until the page shows it."""
    for number in range(WITHIN_S * 5):
        frame_id = f"{colour} {number}"
        await gate.push({"image": coloured(*colour), "frame_id": frame_id})
        assert (await gate.answer(frame_id))[1]["reason"] == "overloaded"
        seen = await tab.evaluate(f"document.querySelector('#cameras canvas') && {MIDDLE}")
        if seen and all(abs(a - b) < 20 for a, b in zip(seen, colour, strict=False)):
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"the page does not show the camera's picture: {seen} instead of {colour}")


async def test_a_device_that_is_too_hot_says_so_and_shows_fresh_pictures_without_inference(
    serve: Serve, browser: int, tmp_path: Path
) -> None:
    heat(tmp_path, 55.0)
    settings = {"flow__burst": "100", "flow__aiming_interval_s": "1"}
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, root=tmp_path, **settings) as running,
        camera(running.url, "gate") as gate,
        chromium.tab(running.url, 390, 844, language="en-GB", port=browser) as tab,
    ):
        heat(tmp_path, 90.0)
        await tab.until("document.querySelector('header').innerText.includes('Critical')")
        await tab.until(f"/Overheated: the chip is at 90.°C .limit 84.*Detection is paused/.test({FINDINGS})")
        for colour in ((200, 30, 30), (30, 160, 40), (40, 60, 200)):
            await show(tab, gate, colour)
        card = "document.querySelector('#cameras article').innerText"
        await tab.until(f"{card}.includes('Too hot or too short of memory to detect: picture only')")
        assert await violations(tab) == []
        await keep(tab, "too-hot-aiming")
