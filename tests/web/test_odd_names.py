"""A camera with any printable name is served, and its name arrives unharmed in health, metrics, pictures and events."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Running
from tests.web.camera import camera
from tests.web.requests import get, picture

NAMES = ["Portão principal", 'Gate "A" \\ <b>&', "a/b?c#d%2F", "正門 🚪", "بوابة"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_arrives_unharmed_everywhere(live: Running, name: str) -> None:
    decomposed = unicodedata.normalize("NFD", name)
    async with camera(live.url, decomposed) as sender, camera(live.url) as viewer:
        assert (await sender.first("connected"))["camera"] == name
        assert await viewer.call("subscribe", {"cameras": [decomposed]}) == {"status": "subscribed", "cameras": [name]}
        await sender.push_blind(picture(1))
        assert (await viewer.first("detection_results"))["camera"] == name
        _, health = await get(live.url, "/health")
        assert name in health["cameras"]
        async with aiohttp.ClientSession(live.url) as session:
            async with session.get(f"/cameras/{quote(name, safe='')}/latest.jpg") as answer:
                assert (answer.status, await answer.read()) == (200, picture(1))
            async with session.get(f"/cameras/{quote(decomposed, safe='')}/latest.jpg") as answer:
                assert (answer.status, await answer.read()) == (200, picture(1))
            async with session.get("/metrics") as answer:
                families = list(text_string_to_metric_families(await answer.text()))
    cameras = {sample.labels.get("camera") for family in families for sample in family.samples}
    assert name in cameras
