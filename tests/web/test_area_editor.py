"""Drawing zones and masks on the page, in a real browser with the real service."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web import chromium
from tests.web.camera import camera
from tests.web.requests import picture

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no chromium")

SETTINGS = "[cameras.gate.zones.fixed]\npoints = [[0, 0], [0.2, 0], [0, 0.2]]\n"
DIALOG = "document.querySelector('dialog')"
TAP = """(x, y) => {
  const { left, top, width, height } = document.querySelector('.area-picture svg').getBoundingClientRect();
  document.querySelector('.area-picture svg').dispatchEvent(new PointerEvent('pointerdown',
    { clientX: left + x * width, clientY: top + y * height, bubbles: true }));
}"""


async def open_editor(tab: chromium.Tab) -> None:
    """Open the dialog by the button that shows the picture's areas."""
    await tab.until(
        "[...document.querySelectorAll('.actions button')].some((b) => b.textContent === 'Zones and masks')"
    )
    await tab.evaluate(
        "[...document.querySelectorAll('.actions button')].find((b) => b.textContent === 'Zones and masks').click()"
    )
    await tab.until(f"{DIALOG}.textContent.includes('from the settings file')")


async def add(tab: chromium.Tab, name: str, kind: str) -> None:
    await enter(tab, name, kind)
    await tab.evaluate("document.querySelector('[data-area=add]').click()")


async def enter(tab: chromium.Tab, name: str, kind: str) -> None:
    for field, value in (("name", name), ("kind", kind)):
        await tab.evaluate(
            f"document.querySelector('[data-area={field}]').value = '{value}';"
            f"document.querySelector('[data-area={field}]').dispatchEvent(new Event('input'))"
        )


async def save(tab: chromium.Tab) -> None:
    await tab.evaluate(f"{DIALOG}.querySelector('.confirm').click()")
    await tab.until(f"{DIALOG}.textContent.includes('Saved.')")


async def test_a_zone_and_a_mask_are_drawn_changed_and_deleted(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(SETTINGS)
    flags = {"server.keep_pictures": "true"}
    async with (
        serve(FakeEngine(CANARY_ROWS), toml=toml, wait_ready=True, **flags) as running,
        camera(running.url, "gate") as gate,
    ):
        await gate.push(picture(1))
        await gate.first("detection_results")
        book, deadline_s = running.started.parts.path.book, time.monotonic() + 10
        while "gate" not in running.started.parts.vitals.roster:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        async with chromium.tab(f"{running.url}/#camera=gate", 900, 900) as tab:
            await open_editor(tab)
            await tab.until("document.querySelector('.area-picture img').naturalWidth > 0")
            assert await tab.evaluate("document.querySelector('[data-area=add]').disabled")
            for x, y in ((0.5, 0.5), (1.2, 0.5), (1.2, 1.2)):  # outside of the picture: at its edge
                await tab.evaluate(f"({TAP})({x}, {y})")
            await add(tab, "yard", "zone")
            await tab.evaluate("document.querySelector('.area-picture svg').focus()")
            for key in ("Enter", *["ArrowLeft"] * 5, "Enter", *["ArrowUp"] * 5, "Enter", "Enter", "Backspace"):
                await tab.press(key)
            await add(tab, "<b>street", "mask")
            for x, y in ((0.1, 0.8), (0.2, 0.8), (0.2, 0.9)):
                await tab.evaluate(f"({TAP})({x}, {y})")
            await enter(tab, "door", "zone")  # saved although it was not added
            await save(tab)
            zones = {zone.name: zone.outline for zone in book.view_of("gate").zones}
            assert zones["yard"] == ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0))
            assert set(zones) == {"yard", "fixed", "door"}
            (mask,) = book.view_of("gate").masks
            assert [(round(x, 3), round(y, 3)) for x, y in mask] == [(1.0, 1.0), (0.9, 1.0), (0.9, 0.9)]

            await tab.evaluate(f"{DIALOG}.querySelector('.cancel').click()")
            await open_editor(tab)
            await tab.evaluate(f"{DIALOG}.querySelector('.areas button').click()")
            await save(tab)
            assert {zone.name for zone in book.view_of("gate").zones} == {"fixed", "door"}
            assert len(book.view_of("gate").masks) == 1
            assert tab.problems == []
