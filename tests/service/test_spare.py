"""Parts that are restarted after a failure, while everything else continues."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest

from appliance.service.spare import Spare
from tests.conftest import Serve
from tests.fakes import FakeClock
from tests.health.conftest import SkippingLoop
from tests.web.camera import camera
from tests.web.requests import picture


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Callable[[], asyncio.AbstractEventLoop]]]:
    return "asyncio", {"loop_factory": SkippingLoop}


async def test_a_failing_part_is_restarted_after_pauses_that_double(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    spare, starts = Spare(loop.time), list[float]()

    async def fails() -> None:
        starts.append(loop.time())
        if len(starts) < 10:
            raise OSError(28, "No space left on device")

    await spare.keep("watch", fails)
    pauses = [round(b - a) for a, b in itertools.pairwise(starts)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert spare.problem == "watch: OSError: [Errno 28] No space left on device"
    assert "Traceback" in caplog.text


async def test_a_failure_is_forgotten_when_the_part_works_again() -> None:
    clock = FakeClock()
    spare = Spare(clock)
    await spare.keep("mdns", failing_once(RuntimeError("no network")))
    assert spare.problem == "mdns: RuntimeError: no network"
    clock.pass_(121)
    assert spare.problem is None


async def test_the_cause_in_an_exception_group_is_named() -> None:
    spare = Spare(FakeClock())

    async def group() -> None:
        async def inner() -> None:
            raise ValueError("inner")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(inner)

    calls = iter([group])

    async def part() -> None:
        call = next(calls, None)
        if call is not None:
            await call()

    await spare.keep("watch", part)
    assert spare.problem == "watch: ValueError: inner"


async def test_a_cancelled_part_ends() -> None:
    with anyio.move_on_after(5) as scope:
        await Spare(FakeClock()).keep("canary", asyncio.Event().wait)  # type: ignore[arg-type]
    assert scope.cancelled_caught


def failing_once(error: Exception) -> Callable[[], Awaitable[None]]:
    errors = iter([error])

    async def part() -> None:
        failure = next(errors, None)
        if failure is not None:
            raise failure

    return part


class Unlisted(dict[str, Any]):
    """Camera settings that raise an error when they are listed, like a bug of ours."""

    def __iter__(self) -> Iterator[str]:
        raise LookupError("a bug of ours")


class TestInTheService:
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_a_failing_history_is_a_finding_and_does_not_affect_cameras(self, serve: Serve) -> None:
        async with serve(flow__burst="100") as running, camera(running.url, "gate") as gate:
            book = running.started.parts.path.book
            valid, book.policies = book.policies, Unlisted()
            with anyio.fail_after(10):
                while running.started.parts.vitals.notices().part_failed is None:
                    await asyncio.sleep(0.01)
            assert running.started.parts.vitals.notices().part_failed == "watch: LookupError: a bug of ours"
            book.policies = valid
            assert "part_failed" in [finding.code for finding in running.started.parts.vitals.findings()]
            await gate.push({"image": picture(1), "frame_id": 1})
            assert (await gate.answer(1))[0] == "detection_results"
