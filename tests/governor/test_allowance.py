"""The duty that the board can cool: less when it is hotter, careful where the model doubts, exact at the target."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.governor.allowance import duty_now, lasting_duty
from appliance.governor.heat import Heat, Load, learn


def settled(temp_c: float, own: float, others: float = 0.0) -> Heat:
    """A known board that has had this load for long."""
    heat = Heat()
    for second in range(1200):
        swing = 0.2 if 300 <= second < 900 and second // 60 % 2 else 0.0
        use = min(1.0, own + others + swing)
        heat = learn(heat, float(second), temp_c + 30.0 * (use - own - others), Load(use, use - others))
    return replace(heat, drift_c_s=0.0, surge_c_s=0.0)


HALF_BUSY = settled(70.0, 0.5)


def test_at_the_target_the_duty_stays() -> None:
    heat = settled(75.0, 0.5)
    assert duty_now(heat, heat.temp_c, 1.0) == pytest.approx(0.5, abs=0.03)


@given(st.floats(50, 90), st.floats(0, 10))
def test_a_lower_target_never_allows_more(target_c: float, less_c: float) -> None:
    heat = HALF_BUSY
    assert duty_now(heat, target_c - less_c, 1.0) <= duty_now(heat, target_c, 1.0)
    assert lasting_duty(heat, target_c - less_c, 1.0) <= lasting_duty(heat, target_c, 1.0)


def test_what_a_unit_of_duty_uses_is_taken_into_account() -> None:
    heat = settled(75.0, 0.4)
    assert duty_now(heat, heat.temp_c, 0.5) == pytest.approx(0.8, abs=0.06)


def test_an_unknown_board_is_given_more_work_carefully() -> None:
    unknown = learn(Heat(), 0.0, 70.0, Load(0.0, 0.0))
    known = settled(70.0, 0.0)
    assert 0.05 < duty_now(unknown, 75.0, 1.0) < duty_now(replace(known, own=0.0), 85.0, 1.0)
    assert duty_now(unknown, 75.0, 1.0) < 5.0 / unknown.effect_c(60.0)


def test_a_fan_that_fails_counts_before_the_target_is_reached() -> None:
    heat = replace(settled(70.0, 0.5), surge_c_s=0.5)
    assert duty_now(heat, 76.0, 1.0) < duty_now(replace(heat, surge_c_s=0.0), 76.0, 1.0)


def test_on_a_busy_machine_more_work_only_takes_the_place_of_others() -> None:
    busy = replace(settled(70.0, 0.5, others=0.5), idle=0.0)
    assert duty_now(busy, 74.0, 1.0) == 1.0
    assert duty_now(busy, 69.0, 1.0) < 0.5
    assert duty_now(replace(busy, idle=0.5), 74.0, 1.0) < 1.0
