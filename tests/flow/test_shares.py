"""Fair shares: they never exceed the engine's capacity, and respect weights and minimum intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.shares import Demand, fair_intervals

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


def test_without_capacity_there_are_no_shares() -> None:
    assert fair_intervals({"gate": Demand(0.1)}, 2, 0.0) == {}
