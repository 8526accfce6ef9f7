"""Fair shares: they never exceed the engine's capacity, and respect weights and minimum intervals."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.shares import (
    Demand,
    calm_duty,
    fair_intervals,
    is_due,
    spare_announcements,
    with_headroom,
)

USE = 0.9

demands = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.builds(
        Demand,
        cost_s=st.floats(0.001, 2.0),
        weight=st.floats(0.1, 100),
        floor_s=st.one_of(st.just(0.0), st.floats(0.001, 20)),
    ),
    max_size=12,
)


@given(demands, st.integers(1, 16))
def test_the_shares_never_exceed_the_capacity(cameras: dict[str, Demand], slots: int) -> None:
    intervals = fair_intervals(cameras, slots, USE)
    assert intervals.keys() == cameras.keys()
    used = sum(cameras[name].cost_s / interval for name, interval in intervals.items())
    assert used <= slots * USE * (1 + 1e-6)


@given(demands, st.integers(1, 16))
def test_the_whole_capacity_is_shared_while_a_camera_can_use_more(cameras: dict[str, Demand], slots: int) -> None:
    intervals = fair_intervals(cameras, slots, USE)
    if any(interval > cameras[name].floor_s for name, interval in intervals.items()):
        used = sum(cameras[name].cost_s / interval for name, interval in intervals.items())
        assert used == pytest.approx(slots * USE, rel=1e-6)


@given(demands, st.integers(1, 16))
def test_no_interval_is_shorter_than_the_cameras_minimum(cameras: dict[str, Demand], slots: int) -> None:
    for name, interval in fair_intervals(cameras, slots, USE).items():
        assert interval >= cameras[name].floor_s * (1 - 1e-9)


@given(demands, st.integers(1, 16))
def test_cameras_above_their_minimum_interval_share_by_weight(cameras: dict[str, Demand], slots: int) -> None:
    intervals = fair_intervals(cameras, slots, USE)
    by_weight = [
        cameras[name].cost_s / interval / cameras[name].weight
        for name, interval in intervals.items()
        if interval > cameras[name].floor_s * (1 + 1e-9)
    ]
    assert by_weight == [pytest.approx(by_weight[0], rel=1e-6)] * len(by_weight) if by_weight else True
    for name, interval in intervals.items():  # a camera at its minimum interval gets at most its share by weight
        if by_weight:
            demand = cameras[name]
            assert demand.cost_s / interval / demand.weight <= by_weight[0] * (1 + 1e-6)


def test_two_equal_cameras_get_half_each() -> None:
    intervals = fair_intervals({"a": Demand(0.09), "b": Demand(0.09)}, 1, USE)
    assert intervals == {"a": pytest.approx(0.2), "b": pytest.approx(0.2)}


def test_the_unused_share_of_a_slow_camera_goes_to_the_other() -> None:
    intervals = fair_intervals({"slow": Demand(0.09, floor_s=1.0), "fast": Demand(0.09)}, 1, USE)
    assert intervals == {"slow": 1.0, "fast": pytest.approx(0.09 / (0.9 - 0.09))}


@given(st.floats(0.01, 100), st.booleans())
def test_a_longer_share_is_announced_at_once(announced_s: float, hot: bool) -> None:
    assert is_due(announced_s, announced_s * 1.3 + 0.01, 0.0, hot=hot)
    assert not is_due(announced_s, announced_s * 1.05, 1e9, hot=hot)


@given(st.floats(0.05, 100))
def test_a_shorter_share_is_announced_late(announced_s: float) -> None:
    assert not is_due(announced_s, announced_s * 0.7, 14.0, hot=False)
    assert is_due(announced_s, announced_s * 0.7, 15.0, hot=False)
    assert not is_due(announced_s, announced_s * 0.7, 359.0, hot=True)
    assert is_due(announced_s, announced_s * 0.7, 360.0, hot=True)
    assert is_due(announced_s, announced_s * 0.4, 10.0, hot=True)


@given(st.floats(0.05, 100))
def test_a_camera_that_was_sent_few_limits_hears_of_small_improvements(announced_s: float) -> None:
    assert not is_due(announced_s, announced_s * 0.9, 119.0, hot=True, spare=3.0)
    assert is_due(announced_s, announced_s * 0.9, 120.0, hot=True, spare=2.0)
    assert not is_due(announced_s, announced_s * 0.9, 899.0, hot=True, spare=1.9)


def test_announcements_become_spare_again_with_time() -> None:
    spare = spare_announcements(None, math.inf)
    for _ in range(5):
        spare = spare_announcements(spare, 10.0) - 1
    assert spare < -1
    assert spare_announcements(spare, 3600.0) == pytest.approx(min(3.0, spare + 8))


def test_a_trimmed_duty_in_steady_weather_causes_few_announcements() -> None:
    chance, announced_s, at_s, calm, spare, times = random.Random(1), 1.0, 0.0, 1.0, 3.0, []
    for second in range(7200):
        calm = calm_duty(calm, 0.8 + 0.1 * math.sin(second / 200) + chance.gauss(0, 0.02), 1.0)
        spare_now = spare_announcements(spare, second - at_s)
        if is_due(announced_s, 1 / calm, second - at_s, hot=True, spare=spare_now):
            announced_s, at_s, spare = with_headroom(1 / calm, 0.1, spare_now), float(second), spare_now - 1
            times.append(second)
    assert sum(second >= 3600 for second in times) <= 12


@given(st.floats(0.01, 0.99), st.floats(0.01, 1.0), st.floats(0.0, 1e4))
def test_the_calm_duty_lies_between_what_it_was_and_what_the_governor_asks(
    calm: float, duty: float, passed_s: float
) -> None:
    after = calm_duty(calm, duty, passed_s)
    assert min(calm, duty) - 1e-9 <= after <= max(calm, duty) + 1e-9
    if duty < 0.9 * calm or duty > 1.3 * calm:
        assert after == duty  # a burst of another program's load, and its end


def test_a_camera_that_needs_less_than_it_may_need_not_hear_of_a_change() -> None:
    assert not is_due(0.5, 0.9, 0.0, hot=True, needed_s=1.0)
    assert is_due(0.5, 1.1, 0.0, hot=True, needed_s=1.0)
    assert is_due(0.5, 0.9, 0.0, hot=True, needed_s=None)
    assert is_due(0.5, 0.9, 0.0, hot=False, needed_s=1.0)


def test_without_capacity_there_are_no_shares() -> None:
    assert fair_intervals({"gate": Demand(0.1)}, 2, 0.0) == {}


def test_a_cool_device_gives_back_the_headroom_that_was_announced_while_it_was_hot() -> None:
    announced_s = with_headroom(1.0, 0.1, 3.0)
    assert not is_due(announced_s, 1.0, 299.0, hot=False)
    assert is_due(announced_s, 1.0, 301.0, hot=False)
