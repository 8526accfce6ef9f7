"""Readings that no working machine has: the governor survives each of them, and is as before once they are over."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.governor.policy import State, decide, limits_of
from appliance.readings import CoolingDevice, Cpu, Memory, Power, Reading, Thermal
from appliance.values import Limits
from tests.governor.readings import LADDER, MB, POLICY

_AIR_C = 17.0
SIDES = {step.limits.max_side for step in LADDER.steps}

numbers = st.one_of(
    st.none(), st.sampled_from([nan, inf, -inf, 0.0, -0.0, 1e300, -1e300, 1e9, -1.0, 499.0]), st.floats(-50.0, 150.0)
)
counts = st.one_of(st.none(), st.sampled_from([0, -1, 1, 2**70]), st.integers(0, 4000 * MB))
bits = st.sampled_from([None, False, True])
senseless = st.builds(
    Reading,
    numbers.map(lambda at_s: 0.0 if at_s is None else at_s),
    st.builds(
        Thermal, numbers, numbers, numbers, numbers,
        cooling=st.lists(st.builds(CoolingDevice, st.just("Processor"), st.integers(-3, 9), st.integers(0, 5)),
                         max_size=2).map(tuple),
    ),
    st.builds(
        Power, numbers, bits, frequency_capped=bits, throttled=bits, throttle_events=counts, limit_w=numbers,
        watts=st.dictionaries(st.sampled_from(["in", "cpu"]), numbers.map(lambda watts: watts or 0.0)),
    ),
    st.builds(
        Memory, numbers, counts, counts, cgroup_used_bytes=counts, cgroup_limit_bytes=counts,
        cgroup_high_bytes=counts, pressure_percent=numbers,
    ),
    st.builds(
        Cpu, numbers, numbers, numbers, numbers, numbers, gpu_percent=numbers, limit_mhz=numbers, work_ms=numbers
    ),
    frame_ms=st.dictionaries(st.sampled_from([640, 320, 17]), numbers.map(lambda ms: ms or 0.0)),
)  # fmt: skip


class WarmBoard:
    """A board that measures its power, and would settle 6 °C above the target at full load."""

    def __init__(self, state: State | None = None) -> None:
        self.state, self.limits, self.now_s = state or State(), Limits(640, 0.0, 8), 1000.0
        self._rise_c = 30.0
        if state is not None and state.decided_s is not None:
            self.limits, self.now_s = limits_of(state, LADDER), state.decided_s + 1.0
            self._rise_c = state.heat.temp_c - _AIR_C

    def reading(self) -> Reading:
        use, now_s = 0.95 * (self.limits.duty if self.limits.admit else 0.0), self.now_s
        return Reading(
            now_s, Thermal(now_s, round(_AIR_C + self._rise_c, 1)), Power(now_s, watts={"in": 3.0 + 6.0 * use}),
            Memory(now_s, 2000 * MB, 4000 * MB), Cpu(now_s, 100 * use, 100 * use, gpu_percent=50.0),
        )  # fmt: skip

    def step(self, senseless: Reading | None = None) -> Limits:
        use = 0.95 * (self.limits.duty if self.limits.admit else 0.0)
        self._rise_c += (20.0 + 46.0 * use - self._rise_c) / 120.0
        self.state, self.limits = decide(self.state, senseless or self.reading(), POLICY)
        self.now_s += 1.0
        return self.limits

    def run(self, seconds: int) -> float:
        """The mean duty of the last minute."""
        duties = [self.step().duty for _ in range(seconds)]
        return sum(duties[-60:]) / len(duties[-60:])


@settings(deadline=None)
@given(st.lists(senseless, max_size=12))
def test_no_reading_raises_or_leaves_the_bounds(readings: list[Reading]) -> None:
    state = State()
    for reading in readings:
        state, limits = decide(state, reading, POLICY)
        assert 0.0 <= limits.duty <= 1.0
        assert limits.max_side in SIDES
        assert limits.max_in_flight >= 1


@pytest.fixture(scope="module")
def warm() -> State:
    board = WarmBoard()
    board.run(600)
    return board.state


@pytest.fixture(scope="module")
def usual_duty(warm: State) -> float:
    """The duty after the time that each of the many readings below has to be forgotten."""
    board = WarmBoard(warm)
    board.step()
    return board.run(400)


@settings(deadline=None, max_examples=20)
@given(senseless)
def test_a_senseless_reading_is_forgotten_afterwards(warm: State, usual_duty: float, one: Reading) -> None:
    with_it = WarmBoard(warm)
    # what a board reports about throttling counts for an hour
    power = replace(one.power, under_voltage=None, frequency_capped=None, throttled=None, throttle_events=None)
    with_it.step(replace(one, at_s=with_it.now_s, power=power))
    assert with_it.run(400) == pytest.approx(usual_duty, abs=0.05)


@pytest.mark.parametrize("power", [nan, inf, -5.0, 1e9])
@pytest.mark.parametrize("gpu", [nan, inf, -50.0, 1e6])
def test_senseless_power_and_gpu_use_change_nothing(power: float, gpu: float, warm: State) -> None:
    with_it, without = WarmBoard(warm), WarmBoard(warm)
    now = without.reading()
    with_it.step(replace(now, power=Power(watts={"in": power}), cpu=replace(now.cpu, gpu_percent=gpu)))
    without.step()
    assert with_it.run(60) == pytest.approx(without.run(60), abs=0.01)
