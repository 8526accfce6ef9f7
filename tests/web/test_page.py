"""The page in a real browser. `SCREENSHOTS=folder` saves screenshots."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import cli
from tests.conftest import ROOT, ServiceProcess
from tests.web import chromium

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`"),
]

STATE = "document.body.innerText"


@pytest.fixture(scope="module")
def demo(service_process: ServiceProcess) -> Iterator[str]:
    """The address of a service with the demo camera."""
    command = [sys.executable, "-m", "appliance", "camera", "--to", service_process.url, "--name", "demo", "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT)
    yield service_process.url
    process.terminate()
    process.wait(10)


def _problems(tab: chromium.Tab) -> list[str]:
    """Errors of the page, except for a picture that is requested before the first one exists."""
    return [problem for problem in tab.problems if "latest.jpg" not in problem]


async def _keep(tab: chromium.Tab, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        await tab.screenshot(Path(folder, f"{name}.png"))


@pytest.mark.parametrize(("name", "width", "height", "dark"), [("desk", 1100, 760, False), ("phone", 390, 844, True)])
async def test_the_page_shows_moving_pictures_with_boxes(
    demo: str, name: str, width: int, height: int, dark: bool
) -> None:
    async with chromium.tab(demo + "/", width, height, dark=dark) as tab:
        await tab.until(f"{STATE}.includes('demo') && {STATE}.includes('stop sign')")
        await tab.until("document.querySelector('canvas').width > 100")
        first = await tab.evaluate("document.querySelector('canvas').toDataURL()")
        await tab.until(f"document.querySelector('canvas').toDataURL() !== {first!r}")
        await tab.until(f"/[1-9][0-9.]*\\s?fps/.test({STATE})")
        assert "OK" in await tab.evaluate(STATE)
        assert await tab.evaluate(f"document.documentElement.scrollWidth <= {width}"), "it scrolls sideways"
        await _keep(tab, name)
        assert _problems(tab) == []


async def test_a_browser_gets_the_page_at_health(demo: str) -> None:
    async with chromium.tab(demo + "/health", 390, 844) as tab:
        await tab.until(f"{STATE}.includes('OK') && {STATE}.includes('yolo11n')")
        assert _problems(tab) == []


async def test_the_history_is_plotted_and_shows_the_value_under_the_pointer(demo: str) -> None:
    async with chromium.tab(demo + "/", 390, 2600) as tab:
        await tab.until("document.querySelectorAll('.plot .line-0').length === 6")
        cpu = "[...document.querySelectorAll('.plot')].find((plot) => plot.innerText.includes('CPU usage'))"
        await tab.until(f"/[0-9]\\s?%/.test({cpu}.querySelector('.value').innerText)")
        await tab.evaluate("document.querySelector('button[value=day]').click()")
        await tab.until("document.querySelector('button[value=day]').getAttribute('aria-pressed') === 'true'")
        # Repeatedly: the plots may be redrawn with the day's data in between.
        move = f"{cpu}.querySelector('.area').dispatchEvent(new PointerEvent('pointermove', {{ clientX: 200 }}))"
        shown = f"{cpu}.querySelector('.value').innerText.includes('No data')"
        await tab.until(f"{move} && {shown} && {cpu}.querySelectorAll('.cursor').length === 1")
        await _keep(tab, "history")
        assert _problems(tab) == []


async def test_a_stranger_signs_in(
    demo: str,
    service_process: ServiceProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(service_process.control))
    assert await asyncio.to_thread(cli.main, ["token", "add", "anna", "--role", "operator"]) == 0
    found = re.search(r"edge_\w+", capsys.readouterr().out)
    assert found is not None
    async with chromium.tab("about:blank", 390, 844) as tab:
        await tab.call("Network.enable")
        await tab.call("Network.setExtraHTTPHeaders", headers={"X-Forwarded-For": "10.0.0.9"})
        for _ in range(10):  # a stranger that asks too often is answered late
            await asyncio.sleep(2)
            tab.problems.clear()
            await tab.go(demo + "/")
            with contextlib.suppress(AssertionError):
                await tab.until(f"{STATE}.includes('Sign in to see more.')", within_s=5)
                await tab.evaluate(f"document.querySelector('#token').value = {found[0]!r}")
                await tab.evaluate("document.querySelector('#token-form button').click()")
                await tab.until(f"{STATE}.includes('Signed in as anna (operator).')", within_s=5)
                break
        await tab.until(f"{STATE}.includes('Signed in as anna (operator).') && {STATE}.includes('yolo11n')")
        await tab.until("document.querySelector('canvas').width > 100")
        await tab.until("document.querySelectorAll('#actions > *').length > 4")
