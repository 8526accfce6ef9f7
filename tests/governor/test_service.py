"""The governor's loop: read, decide, apply and log changes only, and hold a level manually."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from appliance.governor.service import Governor
from appliance.governor.targets import Policy
from appliance.readings import Cpu, Reading, Thermal
from appliance.values import Limits
from tests.fakes import FakeClock
from tests.governor.readings import FULL, LADDER, LAST, POLICY


class FakeSensors:
    """Sensors that return one temperature after another, a second apart on a clock that they move; the last repeats."""

    def __init__(self, temps_c: list[float | None], clock: FakeClock, step_s: float = 1.0) -> None:
        self._temps_c, self._clock, self._step_s = temps_c, clock, step_s
        self._numbers: Iterator[int] = iter(range(10**9))
        self.reads = 0

    def read(self) -> Reading:
        number = next(self._numbers)
        self.reads += 1
        self._clock.pass_(self._step_s)
        temp_c = self._temps_c[min(number, len(self._temps_c) - 1)]
        return Reading(self._clock(), Thermal(self._clock(), temp_c), cpu=Cpu(self._clock(), 5.0, 0.0))


class HangingSensors(FakeSensors):
    """Sensors that respond three times, and then block until `free` is set."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__([60.0], clock)
        self.hang, self.free = threading.Event(), threading.Event()

    def read(self) -> Reading:
        if self.reads == 3:
            self.hang.set()
            self.free.wait(20)
        return super().read()


class Applied:
    """A governor, the limits it applied, and its clock."""

    def __init__(self, temps_c: list[float | None], policy: Policy | None = POLICY) -> None:
        self.clock = FakeClock()
        self.limits: list[Limits] = []
        self.sensors = FakeSensors(temps_c, self.clock)
        self.governor = Governor(
            sensors=self.sensors, policy=policy, full=FULL, apply=self.limits.append, clock=self.clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.governor.run(period_s=0))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def read(self, count: int) -> None:
        with anyio.fail_after(20):
            while self.sensors.reads <= count:
                await asyncio.sleep(0)


async def run_through(temps_c: list[float | None], policy: Policy | None = POLICY) -> Applied:
    applied = Applied(temps_c, policy)
    async with applied.running():
        await applied.read(len(temps_c))
    return applied


async def test_limits_are_applied_only_when_they_change() -> None:
    applied = await run_through([50.0] * 50)
    assert applied.limits == []
    assert applied.governor.limits == LADDER.steps[0].limits
    applied = await run_through([50.0, *[80.0] * 20, *[60.0] * 300])
    assert all(before != after for before, after in itertools.pairwise(applied.limits))
    assert {limits.reason for limits in applied.limits} == {"temperature", "normal"}
    assert applied.limits[-1] == applied.governor.limits
    assert applied.governor.cur_state == 0


async def test_the_governor_reports_its_level_and_the_time_at_it() -> None:
    applied = await run_through([*[80.0] * 25])
    governor = applied.governor
    assert 0 < governor.cur_state < governor.max_state == LAST
    assert governor.transitions >= 1
    before_s = governor.time_in_state_s
    assert 0 <= before_s < 26
    applied.clock.pass_(100.0)
    assert governor.time_in_state_s == before_s + 100.0
    assert governor.target_c == 75.0


async def test_before_the_first_change_the_time_at_the_level_counts_from_the_start() -> None:
    applied = Applied([50.0])
    applied.clock.pass_(12.0)
    assert applied.governor.time_in_state_s == 12.0


async def test_a_critical_temperature_at_the_start_refuses_frames_with_the_second_reading() -> None:
    applied = await run_through([90.0, 90.0])
    assert applied.limits[-1].admit is False
    assert applied.governor.cur_state == LAST


async def test_a_governor_without_a_policy_only_monitors() -> None:
    applied = await run_through([90.0] * 5, None)
    assert applied.limits == []
    assert applied.governor.limits == FULL
    assert applied.governor.reading is not None
    assert applied.governor.reading.thermal.soc_temp_c == 90.0
    assert applied.governor.target_c is None


async def test_each_change_of_level_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    await run_through([80.0] * 3)
    (record,) = caplog.records
    assert record.getMessage() == (
        "throttle level 0 -> 16 of 17 (input 256 px, 7% of frames): chip temperature 80 °C, target below 75 °C"
    )
    assert (record.cooling_state, record.reason) == (16, "temperature")  # type: ignore[attr-defined]  # from `extra`


async def test_a_missing_temperature_sensor_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    await run_through([None] * 20)
    (record,) = caplog.records
    assert "no temperature sensor" in record.getMessage()


async def test_a_level_is_held_manually_and_released(caplog: pytest.LogCaptureFixture) -> None:
    applied = Applied([50.0])
    async with applied.running():
        await applied.read(3)
        applied.governor.hold(2, 100_000.0)
        assert applied.governor.cur_state == 2
        assert applied.limits[-1].reason == "held"
        await applied.read(20)
        assert applied.governor.cur_state == 2
        assert applied.governor.held_for_s is not None
        assert 0 < applied.governor.held_for_s <= 100_000
        applied.governor.release()
        assert applied.governor.held_for_s is None
        await applied.read(300)
    assert applied.governor.cur_state == 0
    assert any("throttle level held manually: level=2 for=100000 s" in record.getMessage() for record in caplog.records)


async def test_a_nonexistent_level_cannot_be_held() -> None:
    with pytest.raises(ValueError, match="throttle level 99 does not exist"):
        Applied([50.0]).governor.hold(99, 60.0)
    with pytest.raises(ValueError, match=r"governor\.enabled"):
        Applied([50.0], None).governor.hold(1, 60.0)


async def test_hung_sensors_do_not_block_the_governor() -> None:
    clock = FakeClock()
    sensors = HangingSensors(clock)
    governor = Governor(sensors=sensors, policy=POLICY, full=FULL, apply=lambda limits: None, clock=clock, hung_s=0.01)
    task = asyncio.create_task(governor.run(period_s=0))
    try:
        with anyio.fail_after(20):
            while governor.state.blind is None:
                clock.pass_(5.0 if sensors.hang.is_set() else 0.0)
                await asyncio.sleep(0)
    finally:
        sensors.free.set()
        task.cancel()
        await asyncio.wait({task})
    assert governor.limits.reason == "temperature_unknown"


class BrokenSensors(FakeSensors):
    """Sensors that respond three times, fail three times, and respond again."""

    def read(self) -> Reading:
        reading = super().read()
        if 3 < self.reads <= 6:
            raise ValueError("invalid literal for int(): '4x'")
        return reading


async def test_unreadable_sensors_do_not_stop_the_governor(caplog: pytest.LogCaptureFixture) -> None:
    applied = Applied([60.0])
    applied.governor._sensors = applied.sensors = BrokenSensors([60.0], applied.clock)
    async with applied.running():
        await applied.read(6)
        assert applied.governor.reading is not None
        assert applied.governor.reading.thermal.soc_temp_c == 60.0
        await applied.read(10)
    assert "cannot read the sensors: invalid literal" in caplog.text


async def test_a_bad_sample_appears_nowhere() -> None:
    for policy in (POLICY, None):
        applied = await run_through([*[49.0] * 5, 85.0], policy)
        assert applied.limits == []
        assert applied.governor.reading is not None
        assert applied.governor.reading.thermal.soc_temp_c == 49.0


async def test_a_stuck_sensor_is_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    applied = Applied([95.0])
    async with applied.running():
        with anyio.fail_after(30):
            while applied.governor.state.blind != "stuck":
                applied.clock.pass_(5.0)
                await asyncio.sleep(0)
    assert "the temperature sensor is stuck at 95 °C, so the load is reduced" in caplog.text
    assert applied.governor.limits.admit


async def test_what_frames_cost_is_part_of_each_decision() -> None:
    clock = FakeClock()
    sensors = FakeSensors([60.0], clock)
    governor = Governor(
        sensors=sensors, policy=POLICY, full=FULL, apply=lambda limits: None, clock=clock,
        frame_ms=lambda: {640: 40.0, 512: 30.0},
    )  # fmt: skip
    task = asyncio.create_task(governor.run(period_s=0))
    with anyio.fail_after(20):
        while sensors.reads < 3:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert governor.reading is not None
    assert governor.reading.frame_ms == {640: 40.0, 512: 30.0}
