"""The time that a coroutine takes of the event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from appliance.web.ingress import steps
from appliance.web.ingress.steps import timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(steps, "thread_time", lambda: now[0])
    return now


async def test_only_its_own_steps_count_and_no_waiting(clock: list[float]) -> None:
    took: list[float] = []

    async def other() -> None:
        clock[0] += 100

    async def answer() -> str:
        clock[0] += 1
        await asyncio.create_task(other())
        clock[0] += 2
        return "done"

    assert await timed(answer(), took.append) == "done"
    assert took == [1, 2]


async def test_an_error_comes_through_and_its_step_counts(clock: list[float]) -> None:
    took: list[float] = []

    async def answer() -> None:
        await asyncio.sleep(0)
        clock[0] += 3
        raise KeyError("a")

    with pytest.raises(KeyError):
        await timed(answer(), took.append)
    assert took == [0, 3]


async def test_a_cancelled_coroutine_may_clean_up(clock: list[float]) -> None:
    took, heard = list[float](), list[str]()

    async def answer() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            clock[0] += 5
            heard.append("cancelled")
            raise

    async def run() -> None:
        await timed(answer(), took.append)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled"]
    assert took == [0, 5]


def test_a_coroutine_that_is_given_up_is_closed() -> None:
    heard: list[str] = []

    async def answer() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            heard.append("closed")

    async def run() -> None:
        await timed(answer(), lambda _: None)

    given_up = run()
    loop = asyncio.new_event_loop()
    try:
        loop.call_soon(given_up.send, None)
        loop.call_soon(loop.stop)
        loop.run_forever()
        given_up.close()
    finally:
        loop.close()
    assert heard == ["closed"]


async def test_processor_time_is_measured_and_not_the_clock_on_the_wall() -> None:
    took: list[float] = []

    async def answer() -> None:
        time.sleep(0.2)  # as when another process has the core

    await timed(answer(), took.append)
    assert took[0] < 0.1
