"""Refused connections: the reason clients get, and the delay for fast retries."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from appliance.web.refusals import RefusalThrottle, refusal
from tests.conftest import Serve
from tests.fakes import FakeClock
from tests.web.wire import Wire, wire

WRONG = refusal("unauthorized", "wrong token")


async def error_of(one: Wire, auth: dict[str, Any] | None) -> dict[str, Any]:
    packet = await one.join(auth)
    assert packet.startswith("44")
    error: dict[str, Any] = json.loads(packet[2:])
    return error


@pytest.mark.parametrize(
    ("flags", "auth", "code", "retry_after"),
    [
        ({"server__require_token": "true"}, {"name": "gate", "token": "x"}, "unauthorized", None),
        ({"server__require_token": "true"}, None, "unauthorized", None),
        ({"server__require_token": "true"}, {"token": 7}, "unauthorized", None),
        ({}, {"name": "no\nname"}, "name_invalid", None),
        ({}, {"name": "http-1"}, "name_invalid", None),
        ({}, {"name": ["gate"]}, "name_invalid", None),
        ({"server__max_connections": "1"}, {"name": "second"}, "too_many_connections", 10.0),
    ],
)
async def test_a_refusal_says_whether_to_retry(
    serve: Serve, flags: dict[str, str], auth: dict[str, Any] | None, code: str, retry_after: float | None
) -> None:
    async with serve(**flags) as running, wire(running.url) as first, wire(running.url) as one:
        if code == "too_many_connections":
            await first.join({"name": "first"})
        error = await error_of(one, auth)
        assert error["data"] == {"code": code, "retry_after": retry_after}
        assert error["message"]


async def test_the_log_names_the_code_of_a_refusal_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(server__require_token="true") as running, wire(running.url) as one:
        await error_of(one, {"name": "gate", "token": "x"})
    assert "code=unauthorized: wrong token" in caplog.text
    assert "unauthorized: unauthorized" not in caplog.text


async def test_only_a_client_that_retries_too_fast_is_delayed(serve: Serve) -> None:
    async with serve(server__require_token="true") as running, wire(running.url) as one, wire(running.url) as other:
        for _ in range(3):
            await error_of(one, {"name": "gate"})
        slow = asyncio.create_task(error_of(one, {"name": "gate"}))
        assert (await error_of(other, {"name": "yard"}))["data"]["code"] == "unauthorized"
        assert not slow.done()
        assert (await slow)["data"]["code"] == "unauthorized"


async def held(refusals: RefusalThrottle, address: str, name: str) -> bool:
    """Whether the answer is delayed."""
    task = asyncio.create_task(refusals.delay(address, name, WRONG))
    for _ in range(3):
        await asyncio.sleep(0)
    slow = not task.done()
    task.cancel()
    await asyncio.wait({task})
    return slow


async def test_the_fourth_refusal_in_a_minute_is_delayed() -> None:
    clock = FakeClock()
    refusals = RefusalThrottle(clock)
    assert [await held(refusals, "a", "gate") for _ in range(5)] == [False, False, False, True, True]
    assert not await held(refusals, "b", "gate")
    assert not await held(refusals, "a", "yard")
    clock.pass_(61)
    assert not await held(refusals, "a", "gate")


async def test_an_accepted_client_starts_over() -> None:
    refusals = RefusalThrottle(FakeClock())
    for _ in range(4):
        await held(refusals, "a", "gate")
    refusals.accepted("a", "gate")
    assert not await held(refusals, "a", "gate")


async def test_remembered_and_delayed_refusals_are_limited() -> None:
    refusals = RefusalThrottle(FakeClock())
    for number in range(5000):
        await held(refusals, "a", f"name-{number}")
    assert len(refusals._refused) <= 1000
    waiting = []
    for _ in range(400):
        waiting.append(asyncio.create_task(refusals.delay("a", "gate", WRONG)))
    await asyncio.sleep(0)
    assert sum(not task.done() for task in waiting) <= 210
    await asyncio.gather(*waiting)
