"""Fair shares: what is given away never exceeds the engine, weights and floors are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.shares import CHANGE, USE, Demand, changed, fair_intervals

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
def test_no_more_engine_time_is_given_away_than_there_is(cameras: dict[str, Demand], slots: int) -> None:
    intervals = fair_intervals(cameras, slots)
    assert intervals.keys() == cameras.keys()
    used = sum(cameras[name].cost_s / interval for name, interval in intervals.items())
    assert used <= slots * USE * (1 + 1e-6)


@given(demands, st.integers(1, 16))
def test_all_of_it_is_given_away_while_somebody_wants_more(cameras: dict[str, Demand], slots: int) -> None:
    intervals = fair_intervals(cameras, slots)
    if any(interval > cameras[name].floor_s for name, interval in intervals.items()):
        used = sum(cameras[name].cost_s / interval for name, interval in intervals.items())
        assert used == pytest.approx(slots * USE, rel=1e-6)


@given(demands, st.integers(1, 16))
def test_no_camera_is_asked_to_be_faster_than_its_floor(cameras: dict[str, Demand], slots: int) -> None:
    for name, interval in fair_intervals(cameras, slots).items():
        assert interval >= cameras[name].floor_s * (1 - 1e-9)


@given(demands, st.integers(1, 16))
def test_engine_time_goes_by_weight_among_those_that_want_more(cameras: dict[str, Demand], slots: int) -> None:
    intervals = fair_intervals(cameras, slots)
    by_weight = [
        cameras[name].cost_s / interval / cameras[name].weight
        for name, interval in intervals.items()
        if interval > cameras[name].floor_s * (1 + 1e-9)
    ]
    assert by_weight == [pytest.approx(by_weight[0], rel=1e-6)] * len(by_weight) if by_weight else True
    for name, interval in intervals.items():  # who is held back by its floor leaves some of its share to the others
        if by_weight:
            demand = cameras[name]
            assert demand.cost_s / interval / demand.weight <= by_weight[0] * (1 + 1e-6)


def test_two_equal_cameras_get_half_each() -> None:
    intervals = fair_intervals({"a": Demand(0.09), "b": Demand(0.09)}, 1)
    assert intervals == {"a": pytest.approx(0.2), "b": pytest.approx(0.2)}


def test_what_a_slow_camera_leaves_goes_to_the_other() -> None:
    intervals = fair_intervals({"slow": Demand(0.09, floor_s=1.0), "fast": Demand(0.09)}, 1)
    assert intervals == {"slow": 1.0, "fast": pytest.approx(0.09 / (0.9 - 0.09))}


@given(st.floats(0.001, 100), st.floats(-1, 1))
def test_small_changes_are_no_news(told_s: float, part: float) -> None:
    assert changed(told_s, told_s * (1 + part * CHANGE * 0.99)) is False
    assert changed(told_s, told_s * (1 + CHANGE * 1.01)) is True
    assert changed(None, told_s) is True


def test_of_nothing_there_are_no_shares() -> None:
    assert fair_intervals({"gate": Demand(0.1)}, 2, 0.0) == {}
