"""The devices of a site on the page, in a real browser. `SCREENSHOTS=folder` saves screenshots."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from appliance.site.presence import Gone, Presence
from tests.web import chromium
from tests.web.page_checks import keep, violations
from tests.web.page_rig import Json, MadeUp, cameras, healthy, serving

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`")
LONG_NAME = "a-device-with-a-very-long-name-0123456789-0123456789"


def device(name: str, **fields: object) -> Json:
    """A device of the site as `GET /site` shows it."""
    usual = {"version": "1", "state": "ok", "headroom": 1.0, "capacity": 24.0, "temp_c": 58.0}
    one = msgspec.convert({"device": name, "url": f"https://{name}.example:8080/", **usual, **fields}, Presence)
    found: Json = msgspec.to_builtins(one)
    return found


def site() -> Json:
    """Six devices in all states; `gate` and `yard` are at box2."""
    return {
        "enabled": True,
        "device": "box1",
        "devices": [
            device("box1", cameras=[f"camera {number}" for number in range(1, 13)], moving=12),
            device("box2", cameras=["yard", "Portão principal & <b>", "gate"]),
            device("box3", state="degraded", headroom=0.42, temp_c=81.0, cameras=["dock"]),
            device("box10", state="critical", headroom=0.0, temp_c=None),
            device(LONG_NAME, drained=True, headroom=0.0),
        ],
        "gone": [msgspec.to_builtins(Gone("box4", 312.0, "https://box4.example:8080/"))],
        "bus": {"problem": None, "dropped": 0, "late": 0, "invalid": 0},
    }


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[int]:
    async with chromium.running() as port:
        yield port


ROWS = "[...document.querySelectorAll('#site > ul > li')]"
ENGLISH = {
    "box1": ["OK", "this device · 58\u202f°C · capacity 24\u202ffps", "12 cameras"],
    "box3": ["Degraded", "81\u202f°C · limited to 42\u202f% · capacity 24\u202ffps", "1 camera"],
    "box4": ["no message for 5\u202fmin"],
    "box10": ["Critical", "takes no cameras · capacity 24\u202ffps"],
    LONG_NAME: ["drained", "58\u202f°C · capacity 24\u202ffps"],
}
PORTUGUESE = {
    "box1": ["OK", "este equipamento · 58\u202f°C · capacidade 24\u202ffps", "12 câmeras"],
    "box3": ["Degradado", "81\u202f°C · limitado a 42\u202f% · capacidade 24\u202ffps", "1 câmera"],
    "box4": ["sem mensagens há 5\u202fmin"],
}


@pytest.mark.parametrize(
    ("language", "width", "dark", "said"), [("en-GB", 1280, True, ENGLISH), ("pt-BR", 320, False, PORTUGUESE)]
)
async def test_every_device_is_listed_with_state_heat_and_cameras(
    browser: int, language: str, width: int, dark: bool, said: dict[str, list[str]]
) -> None:
    made_up = MadeUp(healthy(cameras(3)), site=site())
    async with (
        serving(made_up) as url,
        chromium.tab(url, width, 1800, dark=dark, language=language, port=browser) as tab,
    ):
        await tab.until(f"{ROWS}.length === 6")
        names = await tab.evaluate(f"{ROWS}.map((row) => row.querySelector('.name').textContent)")
        assert names == [LONG_NAME, "box1", "box2", "box3", "box4", "box10"]
        for name, texts in said.items():
            row = await tab.evaluate(f"{ROWS}[{names.index(name)}].innerText")
            assert all(text in row for text in texts), (name, row)
        assert await tab.evaluate(f"document.documentElement.scrollWidth <= {width}"), "it scrolls sideways"
        assert await violations(tab) == []
        await tab.evaluate("document.querySelector('#site').scrollIntoView()")
        await keep(tab, f"site-{language}")
        assert tab.problems == []


async def test_a_device_and_its_cameras_are_links_to_its_page(browser: int) -> None:
    made_up = MadeUp(healthy(cameras(1)), site=site())
    async with serving(made_up) as url, chromium.tab(url, 390, 1800, port=browser) as tab:
        await tab.until(f"{ROWS}.length === 6")
        links = f"{ROWS}.map((row) => row.querySelector('a').getAttribute('href'))"
        assert (await tab.evaluate(links))[1:3] == ["#device", "https://box2.example:8080/"]
        await tab.evaluate(f"{ROWS}[2].querySelector('details').open = true")
        await tab.until(f"{ROWS}[2].querySelectorAll('details a').length === 3")
        shown = await tab.evaluate(
            f"[...{ROWS}[2].querySelectorAll('details a')].map((one) => [one.textContent, one.getAttribute('href')])"
        )
        beyond = "https://box2.example:8080/#camera="
        assert shown == [
            ["gate", f"{beyond}gate"],
            ["Portão principal & <b>", f"{beyond}Port%C3%A3o%20principal%20%26%20%3Cb%3E"],
            ["yard", f"{beyond}yard"],
        ]


async def test_the_list_follows_the_site_and_leads_nowhere_but_to_web_pages(browser: int) -> None:
    made_up = MadeUp(healthy(cameras(1)), site=site())
    async with serving(made_up) as url, chromium.tab(url, 390, 1800, port=browser) as tab:
        await tab.until(f"{ROWS}.length === 6")
        made_up.site = {**site(), "devices": site()["devices"][:1], "gone": []}
        made_up.site["devices"].append({**device("box9"), "url": "javascript:alert(1)"})
        await tab.until(f"{ROWS}.length === 2")
        assert await tab.evaluate(f"{ROWS}[1].querySelector('a').hasAttribute('href')") is False


async def test_a_device_that_stands_alone_has_no_such_list_and_asks_once(browser: int) -> None:
    made_up = MadeUp(healthy(cameras(1)))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until("document.body.dataset.state !== 'waiting'")
        for _ in range(2):
            seen = made_up.paths.count("/health")
            for _ in range(100):
                if made_up.paths.count("/health") > seen:
                    break
                await tab.evaluate("new Promise((done) => setTimeout(done, 100))")
        assert await tab.evaluate(
            "document.querySelector('#site').hidden && document.querySelector('#site-link').hidden"
        )
        assert made_up.paths.count("/site") == 1
