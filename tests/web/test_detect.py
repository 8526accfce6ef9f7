"""`POST /detect`: a picture as the body, `detection_results` as the response."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import anyio
import pytest

from appliance.values import Limits
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine, broken_engine
from tests.web.camera import camera
from tests.web.requests import form, picture


async def post(url: str, data: Any, path: str = "/detect", **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(url, headers=headers) as session, session.post(path, data=data) as answer:
        return answer.status, await answer.json()


async def test_the_response_is_the_payload_of_detection_results(serve: Serve) -> None:
    async with serve() as running, camera(running.url, "gate") as gate:
        await gate.push({"image": picture(1), "frame_id": "a"})
        _, pushed = await gate.answer("a")
        status, answer = await post(running.url, picture(2), "/detect?frame_id=b&captured_at=1700000000.5")
        assert status == 200
        assert set(answer) == set(pushed)
        assert answer["detections"] == pushed["detections"]
        assert (answer["frame_id"], answer["captured_at"]) == ("b", 1700000000.5)
        assert answer["image_size"] == {"width": 640, "height": 360}


async def test_the_query_filters_the_detections(serve: Serve) -> None:
    rows = [(0, 20, 50, 60, 0.3, 0), (0, 20, 50, 60, 0.8, 1), (0, 20, 50, 60, 0.6, 2)]
    async with serve(FakeEngine(rows)) as running:
        for query, names in (
            ("", ["car", "stop sign", "person"]),
            ("?min_confidence=0.5", ["car", "stop sign"]),
            ("?classes=person,car", ["car", "person"]),
        ):
            _, answer = await post(running.url, picture(1), f"/detect{query}")
            assert [one["name"] for one in answer["detections"]] == names


@pytest.mark.parametrize(
    ("data", "query", "status", "code"),
    [
        (b"", "", 400, "frame_empty"),
        (b"no picture", "", 400, "image_unsupported"),
        (picture(1)[:2000], "", 400, "image_corrupt"),
        (b"\xff" * 200_001, "", 413, "frame_too_large"),
        (picture(1), "?min_confidence=high", 400, "option_invalid"),
        (picture(1), "?min_confidence=nan", 400, "option_invalid"),
        (picture(1), "?captured_at=inf", 400, "option_invalid"),
        (picture(1), "?classes=persn", 400, "option_invalid"),
        (picture(1), "?min_confidense=0.5", 400, "unknown_field"),
        (form(image=picture(1)), "", 400, "frame_type"),
    ],
)
async def test_each_error_has_its_status_and_code(live: Running, data: Any, query: str, status: int, code: str) -> None:
    answer = await post(live.url, data, f"/detect{query}")
    assert (answer[0], answer[1]["code"]) == (status, code), answer
    assert answer[1]["error"]


async def test_an_engine_that_fails_is_a_server_error(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    async with serve(engine, wait_ready=True) as running:
        engine.error = broken_engine()
        status, answer = await post(running.url, picture(1))
        assert (status, answer["code"]) == (500, "engine_failed")


async def test_a_device_that_is_too_hot_says_when_to_try_again(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        running.started.parts.path.detector.apply(Limits(320, 0.0, 1, admit=False, reason="critical_temperature"))
        async with aiohttp.ClientSession(running.url) as session, session.post("/detect", data=picture(1)) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["code"] == "overloaded"


async def test_it_shares_its_slots_with_the_deepstack_api(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    async with serve(engine, wait_ready=True) as running:
        engine.hold()
        paths = ["/v1/vision/detection", "/detect"] * 6
        requests = [asyncio.create_task(post(running.url, picture(n), path)) for n, path in enumerate(paths)]
        refused: list[tuple[int, Any]] = []
        with anyio.fail_after(20):
            for first in asyncio.as_completed(requests):
                refused.append(await first)
                if len(refused) == 4:
                    break
        engine.release()
        await asyncio.gather(*requests)
        assert all(status == 503 and "8 requests" in answer["error"] for status, answer in refused), refused
