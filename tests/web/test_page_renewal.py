"""The page in an open tab, after the device was updated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.web import chromium
from tests.web.page_rig import MadeUp, serving

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`")


@asynccontextmanager
async def opened(made_up: MadeUp) -> AsyncIterator[chromium.Tab]:
    """A tab with the page, which is marked until it is loaded again."""
    made_up.health["version"] = "1.0.0"
    async with serving(made_up) as url, chromium.tab(url, 800, 600) as tab:
        await tab.until("document.body.dataset.state !== 'waiting'")
        await tab.evaluate("window.mark = 1")
        yield tab


async def polled(made_up: MadeUp) -> None:
    """Wait until the page has asked twice more how the device is."""
    polls = made_up.paths.count("/health")
    while made_up.paths.count("/health") < polls + 3:
        await asyncio.sleep(0.1)


async def test_the_page_is_loaded_again_after_an_update_once() -> None:
    made_up = MadeUp()
    async with opened(made_up) as tab:
        made_up.health["version"] = "1.1.0"
        await tab.until("window.mark === undefined && document.body.dataset.state !== 'waiting'")
        await tab.evaluate("window.mark = 2")
        made_up.health["version"] = "1.0.0"  # another device behind the front of the site
        await polled(made_up)
        assert await tab.evaluate("window.mark") == 2


@pytest.mark.parametrize(
    "use",
    ["dispatchEvent(new KeyboardEvent('keydown'))", "document.getElementById('action').showModal()"],
    ids=["typing", "dialog"],
)
async def test_the_page_is_not_loaded_again_while_somebody_works_on_it(use: str) -> None:
    made_up = MadeUp()
    async with opened(made_up) as tab:
        await tab.evaluate(f"void {use}")
        made_up.health["version"] = "1.1.0"
        await polled(made_up)
        assert await tab.evaluate("window.mark") == 1
