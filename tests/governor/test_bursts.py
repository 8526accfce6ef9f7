"""Bursts of other programs: the duty falls at once, and is back at once."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from appliance.governor.bursts import Burst, next_burst, returning
from appliance.governor.policy import State, decide
from tests.benchmarks.governor.boards import Board, Plant
from tests.governor.readings import POLICY

QUICK = Board("a quick chip", 2.8, 6.6, 2.6, 3.3, 4.9, 97.0, 8.6, 80.0, 85.0, 0.54, 75.0, 84.0)
BURST_S, EVERY_S = 4, 60


def course(uses: list[float], duty: float = 0.5) -> list[Burst | None]:
    """Follow others' use second by second; the duty falls to nothing during a burst."""
    burst, smooth, way = None, uses[0], []
    for second, use in enumerate(uses):
        burst = next_burst(
            burst, use, smooth, duty if burst is None or burst.over_s is not None else 0.0, float(second)
        )
        smooth = use
        way.append(burst)
    return way


def test_after_a_burst_the_duty_before_it_may_return() -> None:
    way = course([0.05] * 5 + [0.6] * 4 + [0.08])
    assert way[4] is None
    assert [returning(burst) for burst in way[5:9]] == [0.0] * 4
    assert returning(way[9]) == 0.5


def test_that_is_forgotten_after_some_seconds() -> None:
    way = course([0.05] * 5 + [0.6] * 4 + [0.05] * 30)
    assert returning(way[9 + 20]) == 0.5
    assert way[9 + 21] is None


def test_a_burst_that_lasts_is_none() -> None:
    assert course([0.05] * 5 + [0.6] * 602)[-1] is None


def test_a_burst_right_after_another_does_not_lower_what_returns() -> None:
    way = course([0.05] * 5 + [0.6] * 4 + [0.05] + [0.6] * 4 + [0.05])
    assert returning(way[-1]) == 0.5


def test_others_that_use_a_little_more_are_no_burst() -> None:
    assert course([0.05] * 5 + [0.2] * 5)[-1] is None


def test_unknown_use_is_no_burst() -> None:
    assert next_burst(Burst(0.0, 0.1, 0.5), None, 0.1, 0.2, 5.0) is None


def test_a_burst_each_minute_throttles_nothing_and_costs_little_more_than_its_time() -> None:
    plant, state, duties, throttled_s = Plant(QUICK, 12.0, 3), State(), [], 0
    for second in range(3600):
        others = 0.6 if second % EVERY_S < BURST_S else 0.02
        state, limits = decide(state, plant.read(), replace(POLICY, target_temp_c=77.0))
        plant.work(min(limits.duty, 1.0 - others), others)
        if second >= 1800:
            duties.append((second % EVERY_S, limits.duty))
            throttled_s += plant.throttled
    usual = fmean(duty for second, duty in duties if second >= 30)
    after = fmean(duty for second, duty in duties if BURST_S + 1 <= second < BURST_S + 6)
    during = fmean(duty for second, duty in duties if 1 <= second < BURST_S)
    assert usual < 0.9, "the board needs no governor"
    assert during < 0.5 * usual
    assert after > 0.8 * usual
    assert throttled_s == 0
