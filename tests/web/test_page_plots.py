"""The page's plots in a real browser: axes, values by keyboard and touch. `SCREENSHOTS=folder` saves screenshots."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from tests.web import chromium, page_rig
from tests.web.page_checks import keep
from tests.web.page_rig import MadeUp, serving

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`")


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[int]:
    async with chromium.running() as port:
        yield port


async def test_a_plot_is_read_with_the_keyboard_and_by_touch(browser: int) -> None:
    async with serving(MadeUp()) as url, chromium.tab(url, 390, 3600, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('.plot .line-1').length === 2")
        rate = "[...document.querySelectorAll('.plot')].find((plot) => plot.innerText.includes('Frame rate'))"
        assert await tab.evaluate(f"{rate}.querySelectorAll('.axis.left span').length") >= 3
        assert await tab.evaluate(f"{rate}.querySelectorAll('.axis.right span').length") >= 3, (
            "refused frames' own axis"
        )
        assert await tab.evaluate(f"{rate}.querySelectorAll('.times span').length") >= 3
        await tab.evaluate(f"{rate}.querySelector('.area').focus()")
        for key in ("End", "ArrowLeft", "ArrowLeft"):
            await tab.press(key)
        text = await tab.evaluate(f"{rate}.querySelector('.area').getAttribute('aria-valuetext')")
        assert text.startswith(await tab.evaluate(f"{rate}.querySelector('.value').innerText.slice(-5)"))
        assert await tab.evaluate(f"{rate}.querySelector('.area').getAttribute('aria-valuenow')") == "357"
        await tab.press("Escape")
        assert await tab.evaluate(f"{rate}.querySelectorAll('.cursor').length") == 0
        edges = f"{rate}.querySelector('.area').getBoundingClientRect()"
        left, top = await tab.evaluate(f"(({{ left, top, width }}) => [left + width / 2, top + 20])({edges})")
        await tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": left, "y": top}])
        await tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        await tab.until(f"{rate}.querySelectorAll('.cursor').length === 1")


@pytest.mark.parametrize(("language", "wanted"), [("en-US", r"^\d{1,2}(:\d\d)?.[AP]M$"), ("en-GB", r"^\d\d:\d\d$")])
async def test_the_times_of_an_axis_are_as_short_as_the_language_has_them(
    browser: int, language: str, wanted: str
) -> None:
    made_up = MadeUp(history=page_rig.history(1440, 60))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language=language, port=browser) as tab:
        await tab.until("document.querySelectorAll('.plot .line-1').length === 2")
        shown = await tab.evaluate("[...document.querySelector('.plot .times').children].map((one) => one.textContent)")
        assert len(shown) >= 3
        assert [one for one in shown if not re.match(wanted, one)] == []
        await keep(tab, f"axis-{language}")


async def test_every_label_of_an_axis_is_the_value_of_its_tick(browser: int) -> None:
    """At equal distances: none is rounded away from its line."""
    step = """
      const { ticks } = await import(document.querySelector("link[href*='axis.js']").href);
      const { fps, measure } = await import(document.querySelector("link[href*='language.js']").href);
      const wrong = [];
      for (const high of [1, 1.3, 2, 3, 4, 7, 10, 13, 20, 26, 40, 100, 240, 999, 1000, 4200]) {
        for (const format of high > 19 ? [fps, (value) => measure(value, "ms")] : [fps]) {
          const shown = ticks(0, high, 4).map((value) => [value, parseFloat(format(value).replace(",", ""))]);
          if (shown.some(([value, label]) => Math.abs(value - label) > 1e-6)) wrong.push([high, shown]);
        }
      }
      return wrong;
    """
    async with serving(MadeUp()) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('.plot .line-1').length === 2")
        assert await tab.evaluate(f"(async () => {{ {step} }})()") == []
