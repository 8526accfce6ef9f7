"""The ladder: each level produces less heat than the one before, according to the device's profile."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.device.profile import DeviceProfile, Rung, Subject
from appliance.governor.ladder import Ladder, make_ladder, with_costs, worth
from appliance.values import Limits, Size

FULL = Limits(640, 0.0, 8)

fulls = st.builds(
    Limits,
    max_side=st.sampled_from([64, 320, 640, 1280, 2048]),
    min_interval_s=st.sampled_from([0.0, 0.5, 2.0, 10.0]),
    max_in_flight=st.integers(1, 8),
)


def rung(side: int, cpu_ms: float) -> Rung:
    return Rung(side, Size(side, side * 9 // 16), cpu_ms, cpu_ms, cpu_ms, 10.0, 0, 0)


def profile(*rungs: Rung) -> DeviceProfile:
    return DeviceProfile(Subject("a board", "yolo11n", "openvino"), "f32", "2026-01-02", rungs)


profiles = st.one_of(
    st.none(),
    st.lists(st.tuples(st.integers(64, 2048), st.floats(1, 500)), min_size=1, max_size=6).map(
        lambda found: profile(*(rung(side, cost) for side, cost in found))
    ),
)


def heats(ladder: Ladder) -> list[float]:
    return [round(step.heat, 3) for step in ladder.steps]


@settings(deadline=None)
@given(fulls, profiles, st.booleans(), st.booleans())
def test_every_level_allows_less_than_the_one_before(
    full: Limits, measured: DeviceProfile | None, one_size: bool, priorities: bool
) -> None:
    ladder = make_ladder(full, measured, one_size=one_size, priorities=priorities)
    assert ladder.steps[0].limits.max_side == full.max_side
    assert ladder.steps[0].limits.duty == 1.0
    assert not ladder.steps[-1].limits.admit
    for more, less in itertools.pairwise(ladder.steps):
        assert less.heat < more.heat or less.limits.lowest_priority > more.limits.lowest_priority
        assert less.frames <= more.frames
        assert less.limits.max_side <= more.limits.max_side
        assert less.limits.min_interval_s >= more.limits.min_interval_s
        assert less.limits.max_in_flight <= more.limits.max_in_flight
        assert more.limits.admit
        assert 0 <= less.limits.duty <= 1
        assert more.limits.next_side == less.limits.max_side


@settings(deadline=None)
@given(fulls, profiles)
def test_each_smaller_size_is_worth_more_than_the_larger_one_at_the_same_heat(
    full: Limits, measured: DeviceProfile | None
) -> None:
    ladder = make_ladder(full, measured)
    assert 1 <= ladder.sizes < ladder.last
    for larger, smaller in itertools.pairwise(ladder.steps[: ladder.sizes]):
        assert smaller.worth > larger.worth * smaller.cost / larger.cost


def test_a_measured_device_uses_its_own_costs() -> None:
    ladder = make_ladder(FULL, profile(rung(640, 40.0), rung(512, 30.0), rung(320, 10.0), rung(256, 6.0)))
    assert ladder.measured
    assert [step.limits.max_side for step in ladder.steps[:4]] == [640, 512, 320, 256]
    assert heats(ladder)[:4] == [1.0, 0.75, 0.25, 0.15]
    assert ladder.steps[1].limits.duty == 0.75
    assert ladder.steps[1].frames == 1.0


def test_an_unmeasured_device_uses_the_default_costs() -> None:
    ladder = make_ladder(FULL)
    assert not ladder.measured
    assert [step.limits.max_side for step in ladder.steps[:5]] == [640, 512, 416, 320, 256]
    assert heats(ladder)[:5] == [1.0, 0.632, 0.441, 0.279, 0.195]


def test_a_size_that_saves_no_heat_is_left_out() -> None:
    ladder = make_ladder(FULL, profile(rung(640, 40.0), rung(512, 39.0), rung(416, 20.0), rung(320, 30.0)))
    assert [step.limits.max_side for step in ladder.steps[:2]] == [640, 416]


def test_a_network_with_a_fixed_size_processes_fewer_frames_instead() -> None:
    ladder = make_ladder(FULL, one_size=True)
    assert {step.limits.max_side for step in ladder.steps} == {640}
    assert heats(ladder)[:3] == [1.0, 0.8, 0.64]


def test_a_size_that_loses_more_accuracy_than_heat_is_left_out() -> None:
    ladder = make_ladder(FULL, profile(rung(640, 40.0), rung(256, 26.0)))
    assert {step.limits.max_side for step in ladder.steps} == {640}


def test_a_smaller_size_is_worth_less() -> None:
    parts = [1.0, 0.9, 0.8, 0.7, 0.65, 0.5, 0.4, 0.2]
    assert [round(worth(part), 2) for part in parts] == [1.0, 0.97, 0.93, 0.88, 0.86, 0.75, 0.62, 0.31]


def test_with_priorities_the_last_cameras_served_are_those_with_a_priority() -> None:
    assert all(step.limits.lowest_priority == 0 for step in make_ladder(FULL).steps)
    *_, before, only, none = make_ladder(FULL, priorities=True).steps
    assert (before.limits.lowest_priority, only.limits.lowest_priority) == (0, 1)
    assert only.limits.admit
    assert not none.limits.admit


def test_costs_measured_while_the_service_runs_correct_the_ladder() -> None:
    ladder = make_ladder(Limits(640, 0.0, 8))
    found = with_costs(ladder, {640: 40.0, 512: 38.0, 320: 5.0})
    costs = {step.limits.max_side: step.cost for step in found.steps[: found.sizes]}
    assert costs[512] == pytest.approx(0.95, abs=0.01)
    assert costs[416] == pytest.approx(12.0 / 27.2)
    assert costs[320] == pytest.approx(0.5 * 7.6 / 27.2), "not more than a factor of two"
    assert costs[256] == costs[320], "a smaller size costs no more than the next larger one"
    assert found.steps[-2].heat == pytest.approx(ladder.steps[-2].heat * costs[256] / (5.3 / 27.2))
    assert [step.limits for step in found.steps] == [step.limits for step in ladder.steps]


def test_one_measured_size_or_none_says_nothing() -> None:
    ladder = make_ladder(Limits(640, 0.0, 8))
    assert with_costs(ladder, {}) is ladder
    assert with_costs(ladder, {640: 40.0}) is ladder
    assert with_costs(ladder, {640: 40.0, 333: 9.0}) is ladder


def test_a_ladder_that_was_measured_keeps_its_costs() -> None:
    ladder = replace(make_ladder(Limits(640, 0.0, 8)), measured=True)
    assert with_costs(ladder, {640: 40.0, 512: 38.0}) is ladder
