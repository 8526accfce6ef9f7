"""The governor's loop: it reads, decides, and speaks only when something changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import anyio
import pytest

from appliance.governor.policy import MAX_STATE, Policy
from appliance.governor.service import Governor
from appliance.readings import Reading, Thermal
from appliance.values import Limits

POLICY = Policy(75, 84, 100_000_000)
FULL = Limits(640, 0.0, 8, next_side=512)


class FakeSensors:
    """Temperatures one after another; the last one stays."""

    def __init__(self, temps_c: list[float | None], step_s: float = 1.0) -> None:
        self._temps_c, self._step_s = temps_c, step_s
        self._numbers: Iterator[int] = iter(range(10**9))
        self.reads = 0

    def read(self) -> Reading:
        number = next(self._numbers)
        self.reads += 1
        return Reading(number * self._step_s, Thermal(soc_temp_c=self._temps_c[min(number, len(self._temps_c) - 1)]))


async def run_through(
    temps_c: list[float | None], policy: Policy | None, step_s: float = 1.0
) -> tuple[Governor, list[Limits]]:
    applied: list[Limits] = []
    sensors = FakeSensors(temps_c, step_s)
    governor = Governor(sensors=sensors, policy=policy, full=FULL, apply=applied.append)
    task = asyncio.create_task(governor.run(period_s=0))
    with anyio.fail_after(10):
        while sensors.reads <= len(temps_c):
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    return governor, applied


async def test_limits_are_handed_on_only_when_they_change() -> None:
    governor, applied = await run_through([50.0] * 50, POLICY)
    assert applied == []
    assert governor.limits == FULL
    governor, applied = await run_through([50.0, *[80.0] * 5, *[60.0] * 40], POLICY)
    assert [limits.reason for limits in applied] == ["temperature", "normal"]
    assert applied[-1] == governor.limits == FULL
    assert governor.state.transitions == 2


async def test_a_critical_reading_refuses_frames_with_the_first_reading() -> None:
    governor, applied = await run_through([90.0], POLICY)
    assert applied[0].admit is False
    assert governor.state.cooling == MAX_STATE


async def test_a_governor_without_a_policy_only_watches() -> None:
    governor, applied = await run_through([90.0] * 5, None)
    assert applied == []
    assert governor.limits == FULL
    assert governor.reading is not None
    assert governor.reading.thermal.soc_temp_c == 90.0


async def test_the_log_tells_of_each_change(caplog: pytest.LogCaptureFixture) -> None:
    await run_through([80.0] * 3, POLICY)
    (record,) = caplog.records
    assert "cooling state 1 (temperature)" in record.getMessage()
