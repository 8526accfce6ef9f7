"""What the governor believes: bad samples change nothing, true jumps count within two seconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from appliance.governor.belief import Belief, believe
from appliance.governor.policy import State, decide
from appliance.readings import Cpu, Power, Reading, Thermal
from tests.governor.readings import LAST, POLICY, reading

PI_DEFAULT_C = 85.0


def believed(temps_c: Sequence[float | None], step_s: float = 1.0) -> list[float | None]:
    belief, results = Belief(), []
    for number, temp_c in enumerate(temps_c):
        belief, now = believe(belief, reading(number * step_s, temp_c))
        results.append(now.thermal.soc_temp_c)
    return results


def admitted(temps_c: Sequence[float | None]) -> list[bool]:
    state, results = State(), []
    for number, temp_c in enumerate(temps_c):
        state, limits = decide(state, reading(float(number), temp_c), POLICY)
        results.append(limits.admit)
    return results


@pytest.mark.parametrize("bad_c", [PI_DEFAULT_C, 127.9, 20.0, -39.0, 999.0, -273.0, 0.0, float("nan"), None])
def test_one_bad_sample_changes_nothing(bad_c: float | None) -> None:
    assert believed([49.0] * 5 + [bad_c] + [49.0] * 5) == [49.0] * 11


@pytest.mark.parametrize("at", range(4))
def test_one_bad_sample_stops_nothing_even_at_the_start_or_when_warm(at: int) -> None:
    temps_c: list[float | None] = [74.0] * 8
    temps_c[at] = PI_DEFAULT_C
    assert all(admitted(temps_c))


def paced(bad_c: Callable[[int], float | None], step_c: float = 1.0) -> list[float]:
    """Duties of a Pi whose sensor shows some bad values, once it is at its target."""
    state, duty, rise_c, duties = State(), 1.0, 30.0, []
    for second in range(1500):
        rise_c += (15.0 + 45.0 * duty - rise_c) / 90.0
        bad = bad_c(second)
        temp_c = step_c * round((35.0 + rise_c) / step_c) if bad is None or second < 900 else bad
        state, limits = decide(state, reading(float(second), temp_c, use=0.95 * duty), POLICY)
        duty = limits.duty if limits.admit else 0.0
        duties.append(duty)
    return duties[900:]


@pytest.mark.parametrize("shown_s", [1, 2])
@pytest.mark.parametrize("bad_c", [81.0, PI_DEFAULT_C, 127.5])
def test_a_bad_value_near_the_target_costs_nothing_even_if_the_sensor_shows_it_for_two_seconds(
    bad_c: float, shown_s: int
) -> None:
    good, bad = paced(lambda second: None), paced(lambda second: bad_c if second % 97 < shown_s else None)
    assert min(bad) >= min(good) - 0.05
    assert sum(bad) == pytest.approx(sum(good), rel=0.01)


def test_a_jump_that_the_load_explains_is_believed_at_once() -> None:
    """A small die moves by 6 °C in the second in which its load starts."""
    state, die_c, believed_c = State(), 0.0, []
    for second in range(600):
        use = 0.1 if second % 60 < 30 else 0.95
        die_c += (14.0 * use - die_c) * 0.5
        state, _ = decide(state, reading(float(second), 50.0 + round(die_c), use=use), POLICY)
        assert state.belief.best is not None
        believed_c.append(state.belief.best.temp_c - 50.0 - round(die_c))
    assert not any(believed_c[300:])


def test_bad_samples_in_a_random_five_hundredth_never_stop_inference() -> None:
    for seed in range(5):
        dice = random.Random(seed)
        temps_c = [PI_DEFAULT_C if dice.random() < 0.002 else 49.0 + dice.choice((0.0, 0.5)) for _ in range(3000)]
        assert all(admitted(temps_c))


def test_samples_that_contradict_each_other_are_not_believed_one_by_one() -> None:
    assert believed([50.0, 50.0, 85.0, 120.0, 50.0, 50.0]) == [50.0] * 6


@pytest.mark.parametrize("before", [1, 2, 10])
def test_a_true_critical_temperature_stops_inference_within_two_seconds(before: int) -> None:
    assert admitted([60.0] * before + [92.0, 93.0, 93.0])[before:] == [True, False, False]
    assert admitted([60.0] * before + [92.0] * 3)[before:] == [True, True, False], "the same value for two seconds"


@pytest.mark.parametrize("hot_c", [84.0, 90.0, 105.0])
def test_a_sensor_that_alternates_between_critical_and_cool_stops_inference_until_it_no_longer_does(
    hot_c: float,
) -> None:
    way = admitted([*[60.0] * 10, *[hot_c, 20.0] * 30, *[40.0] * 120])
    assert not any(way[12:69])
    assert way[-1]


@pytest.mark.parametrize("back_s", [3600.0, 30.0, 5.0, 0.2])
def test_a_clock_that_goes_back_hides_no_critical_temperature_and_prolongs_no_wait(back_s: float) -> None:
    state, admitted_at, begun_s = State(), [], 10_000.0
    for second in range(400):
        temp_c = 95.0 if 220 <= second < 230 else 60.0
        at_s = begun_s + second - (back_s if second >= 200 else 0.0)
        state, limits = decide(state, reading(at_s, temp_c), POLICY)
        admitted_at.append(limits.admit)
    assert all(admitted_at[:221])
    assert not admitted_at[222]
    assert all(admitted_at[300:])
    assert state.duty > 0.999


def test_a_critical_temperature_that_was_reached_gradually_stops_inference_at_once() -> None:
    assert admitted([75.0, 78.0, 80.0, 82.0, 84.5])[-1] is False


def test_a_small_die_that_jumps_with_its_load_is_followed() -> None:
    wave: list[float | None] = [60.0, 60.0, 75.0, 75.0, 75.0, 58.0, 58.0, 58.0]
    assert believed(wave) == [60.0, 60.0, 60.0, 75.0, 75.0, 75.0, 58.0, 58.0]
    each_second = believed([60.0, 75.0] * 10)
    assert each_second[4:] == [60.0, 75.0] * 8
    assert max(temp for temp in believed([60.0, 75.0, 90.0, 97.0, 98.0]) if temp) == 98.0


def test_a_slow_reader_believes_what_a_chip_can_reach_meanwhile() -> None:
    assert believed([50.0, 80.0, 55.0], step_s=10.0) == [50.0, 80.0, 55.0]


def test_a_garbled_sensor_is_followed_by_its_median() -> None:
    dice = random.Random(3)
    wild: list[float | None] = [60.0 if dice.random() < 0.8 else dice.uniform(-40, 130) for _ in range(500)]
    assert sum(abs((temp or 0.0) - 60.0) > 10.0 for temp in believed(wild)) <= 20  # of 100 bad ones


def test_a_repeated_reading_does_not_support_itself() -> None:
    belief, _ = believe(Belief(), reading(0.0, 49.0))
    hot = Thermal(1.0, PI_DEFAULT_C)
    for at_s in (1.0, 2.0, 3.0):
        belief, now = believe(belief, Reading(at_s, hot))
        assert now.thermal.soc_temp_c == 49.0


def test_a_longer_drop_out_and_an_old_temperature_are_unknown() -> None:
    assert believed([60.0, *[None] * 8])[4:] == [60.0, 60.0, None, None, None]
    belief, _ = believe(Belief(), reading(0.0, 60.0))
    assert believe(belief, Reading(10.0, Thermal(0.0, 60.0)))[1].thermal.soc_temp_c == 60.0
    assert believe(belief, Reading(11.0, Thermal(0.0, 60.0)))[1].thermal.soc_temp_c is None


def test_a_reading_without_a_time_of_its_own_counts_at_the_time_of_the_reading() -> None:
    belief = Belief()
    for at_s in range(3):
        belief, now = believe(belief, Reading(float(at_s), Thermal(None, 50.0 + at_s)))
        assert now.thermal.soc_temp_c == 50.0 + at_s


@pytest.mark.parametrize(("percent", "usable"), [(50.0, 50.0), (100.2, 100.0), (-3.0, None), (7e9, None),
                                                 (float("nan"), None), (None, None)])  # fmt: skip
def test_impossible_cpu_use_is_unknown(percent: float | None, usable: float | None) -> None:
    _, now = believe(Belief(), replace(reading(0.0), cpu=Cpu(0.0, percent, percent)))
    assert (now.cpu.percent, now.cpu.own_percent) == (usable, usable)


def test_load_that_is_unknown_for_some_seconds_is_bridged() -> None:
    belief, _ = believe(Belief(), replace(reading(0.0, use=0.7), power=Power(watts={"in": 8.0})))
    for at_s in range(1, 10):
        gap = replace(reading(float(at_s)), cpu=Cpu(float(at_s)), power=Power(watts={"in": float("inf")}))
        belief, now = believe(belief, gap)
        known = at_s <= 5
        assert now.cpu.own_percent == (70.0 if known else None)
        assert now.power.watts == ({"in": 8.0} if known else {})


def test_one_bad_sample_does_not_change_the_level() -> None:
    state = State()
    for number in range(200):
        temp_c = PI_DEFAULT_C if number == 100 else 49.0
        state, _ = decide(state, reading(float(number), temp_c), POLICY)
        assert state.cooling == 0 < LAST
