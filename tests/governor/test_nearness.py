"""Nearness: the target rises a little where the temperature keeps to it, and falls where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.governor.nearness import Nearness, next_nearness
from appliance.governor.policy import State, decide, present_target_c
from appliance.governor.targets import target_c
from tests.governor.readings import POLICY, reading


def after(near: Nearness, seconds: int, over_c: float = 0.0, others: float = 0.0) -> Nearness:
    for _ in range(seconds):
        near = next_nearness(near, over_c, others, 1.0)
    return near


CLOSE = after(Nearness(), 600)


def test_a_temperature_that_keeps_to_the_target_allows_a_higher_one() -> None:
    assert after(Nearness(), 170).closer_c == 0.0
    assert CLOSE.closer_c == pytest.approx(0.6)


def test_a_cool_device_proves_nothing() -> None:
    assert after(Nearness(), 3600, over_c=-5.0).closer_c == 0.0


def test_what_exceeds_the_target_a_little_lowers_it_once_in_a_while() -> None:
    once = after(CLOSE, 1, over_c=0.8)
    assert once.closer_c == pytest.approx(0.4)
    assert after(once, 15, over_c=0.8).closer_c == pytest.approx(0.4)
    assert after(CLOSE, 120, over_c=0.8).closer_c == 0.0


def test_what_exceeds_the_target_by_far_restores_the_usual_distance() -> None:
    far = after(CLOSE, 1, over_c=2.0)
    assert far.closer_c == 0.0
    assert after(far, 170).closer_c == 0.0


def test_while_other_programs_come_and_go_the_usual_distance_is_kept() -> None:
    burst = after(CLOSE, 1, others=0.5)
    assert burst.closer_c == 0.0
    assert after(burst, 1000).closer_c == 0.0
    assert after(burst, 3600).closer_c > 0.5


def test_cpu_use_that_is_unknown_for_a_while_proves_nothing() -> None:
    state = State(near=CLOSE)
    for second in range(60):
        now = reading(float(second), 74.0, use=0.6)
        if second in (10, 11) or second > 50:
            now = replace(now, cpu=replace(now.cpu, percent=None, own_percent=None))
        state, _ = decide(state, now, POLICY)
    assert state.near.closer_c == pytest.approx(0.6)


def test_a_target_of_the_operators_own_is_never_exceeded() -> None:
    state, _ = decide(State(near=CLOSE), reading(0.0, 75.0), POLICY)
    assert present_target_c(state, reading(0.0), POLICY) == pytest.approx(target_c(reading(0.0), POLICY) + 0.6)
    chosen = type(POLICY)(
        POLICY.target_temp_c, POLICY.critical_temp_c, POLICY.min_available_bytes, POLICY.ladder, follow_board=False
    )
    assert present_target_c(state, reading(0.0), chosen) == POLICY.target_temp_c
