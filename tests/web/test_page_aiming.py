"""The page of a service that is too hot for inference: it shows what a camera sees now, so that it can be aimed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from appliance.values import Limits
from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web import chromium
from tests.web.camera import Camera, camera
from tests.web.page_checks import keep, violations

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`")

TOO_HOT = Limits(320, 0.0, 1, admit=False, reason="critical_temperature")
MIDDLE = (
    "(({ width, height }) => [...document.querySelector('#cameras canvas').getContext('2d')"
    ".getImageData(width / 2, height / 2, 1, 1).data])(document.querySelector('#cameras canvas'))"
)
WITHIN_S = 30


@pytest.fixture
async def browser() -> AsyncIterator[int]:
    async with chromium.running() as port:
        yield port


def coloured(red: int, green: int, blue: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 180), (red, green, blue)).save(file, "JPEG", quality=90)
    return file.getvalue()


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


async def test_a_device_that_is_too_hot_shows_fresh_pictures_without_inference(serve: Serve, browser: int) -> None:
    settings = {"flow__burst": "100", "flow__aiming_interval_s": "1"}
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, **settings) as running,
        camera(running.url, "gate") as gate,
        chromium.tab(running.url, 390, 844, language="en-GB", port=browser) as tab,
    ):
        running.started.parts.path.detector.apply(TOO_HOT)
        for colour in ((200, 30, 30), (30, 160, 40), (40, 60, 200)):
            await show(tab, gate, colour)
        card = "document.querySelector('#cameras article').innerText"
        await tab.until(f"{card}.includes('Too hot or too short of memory to detect: picture only')")
        assert await violations(tab) == []
        await keep(tab, "too-hot-aiming")
