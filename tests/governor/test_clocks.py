"""The clock cap: as much heat, more frames, and nothing where no helper confirms it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.governor.clocks import ClockChoice, at_full_clock, fitting_percent, next_clock, spread
from appliance.governor.service import Governor
from appliance.readings import Cpu, Reading, Thermal
from appliance.values import Limits
from tests.fakes import FakeClock
from tests.governor.readings import FULL, POLICY


@pytest.mark.parametrize(("duty", "percent"), [(1.0, 100), (0.9, 100), (0.64, 80), (0.5, 75), (0.25, 50), (0.0, 40)])
def test_the_clock_fits_the_heat_that_is_allowed(duty: float, percent: int) -> None:
    assert fitting_percent(duty, 40) == percent


def test_without_permission_the_clock_is_left_alone() -> None:
    assert all(fitting_percent(duty / 10, 100) == 100 for duty in range(11))


@given(st.floats(0.0, 1.0), st.integers(30, 100))
def test_a_lower_clock_makes_the_same_heat_with_more_work(duty: float, lowest: int) -> None:
    percent = fitting_percent(duty, lowest)
    assert lowest <= percent <= 100
    limits = spread(replace(FULL, duty=duty), percent)
    heat, frames = limits.duty * (percent / 100) ** 2, limits.duty * percent / 100
    assert limits.duty <= 1.0
    assert heat == pytest.approx(duty) or percent == lowest
    assert heat <= duty + 1e-9
    assert frames >= duty - 1e-9


def test_use_at_a_lower_clock_counts_as_the_heat_it_makes() -> None:
    now = at_full_clock(Reading(0.0, cpu=Cpu(0.0, 100.0, 80.0, gpu_percent=None)), 50)
    assert (now.cpu.percent, now.cpu.own_percent, now.cpu.gpu_percent) == (25.0, 20.0, None)
    assert at_full_clock(Reading(0.0, engine_busy=0.8), 50).engine_busy == 0.2


def test_the_clock_rises_at_once_and_falls_after_a_while() -> None:
    choice = next_clock(ClockChoice(), 0.6, 40, 100.0)
    assert choice == ClockChoice(80, 100.0)
    assert next_clock(choice, 0.2, 40, 110.0) == choice
    assert next_clock(choice, 0.2, 40, 121.0).percent == 45
    assert next_clock(choice, 1.0, 40, 101.0).percent == 100


class FakeCap:
    """A cap that is confirmed with the next request, if a helper works."""

    def __init__(self, works: bool) -> None:
        self.works, self.percent, self.asked = works, 100, [100]

    def ask(self, percent: int) -> None:
        self.percent = self.asked[-1] if self.works else 100
        self.asked.append(percent)


class HotSensors:
    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.reads = clock, 0

    def read(self) -> Reading:
        self.reads += 1
        self.clock.pass_(1.0)
        return Reading(self.clock(), Thermal(self.clock(), 76.0 + self.reads % 2), cpu=Cpu(self.clock(), 60.0, 60.0))


@pytest.mark.parametrize("works", [True, False])
async def test_the_governor_lowers_the_clock_and_trusts_only_a_confirmed_cap(works: bool) -> None:
    clock, cap, applied = FakeClock(), FakeCap(works), list[Limits]()
    sensors = HotSensors(clock)
    governor = Governor(
        sensors=sensors, policy=replace(POLICY, lowest_clock_percent=40), full=FULL, apply=applied.append, clock=clock,
        cap=cap,
    )  # fmt: skip
    task = asyncio.create_task(governor.run(period_s=0))
    with anyio.fail_after(20):
        while sensors.reads < 60:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert 40 <= min(cap.asked) < 100
    assert (governor.limits.duty > round(governor.state.duty, 3)) is works
    governor.follow(None, FULL)
    assert cap.asked[-1] == 100
