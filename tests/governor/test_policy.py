"""The ladder: down at once when it must be, up when it is clearly cooler, and never to and fro."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.governor.policy import MAX_STATE, Policy, State, decide, limits_of
from appliance.readings import Memory, Reading, Thermal
from appliance.values import Limits

POLICY = Policy(target_temp_c=75, critical_temp_c=84, min_available_bytes=100_000_000)
FULL = Limits(640, 0.0, 8, next_side=512)
ENOUGH, TOO_LITTLE = 500_000_000, 50_000_000

temps = st.one_of(st.none(), st.floats(-20, 120))
memories = st.sampled_from([None, ENOUGH, TOO_LITTLE])
fulls = st.builds(
    Limits,
    max_side=st.sampled_from([64, 320, 640, 1280, 2048]),
    min_interval_s=st.sampled_from([0.0, 0.5, 2.0, 10.0]),
    max_in_flight=st.integers(1, 8),
)
steps = st.lists(st.tuples(st.floats(0.5, 40), temps, memories), max_size=80)


def reading(at_s: float, temp_c: float | None = 50.0, memory: int | None = ENOUGH) -> Reading:
    return Reading(at_s, Thermal(soc_temp_c=temp_c), memory=Memory(available_bytes=memory))


def walk(
    steps: list[tuple[float, float | None, int | None]],
    state: State | None = None,
    full: Limits = FULL,
    at_s: float = 0,
) -> list[tuple[Reading, State, Limits]]:
    """Each reading with the state and limits after it."""
    state = state or State()
    way = []
    for gap_s, temp_c, memory in steps:
        at_s += gap_s
        now = reading(at_s, temp_c, memory)
        state, limits = decide(state, now, POLICY, full)
        way.append((now, state, limits))
    return way


def steady(
    temp_c: float | None, seconds: int, memory: int | None = ENOUGH
) -> list[tuple[float, float | None, int | None]]:
    return [(1.0, temp_c, memory)] * seconds


@given(steps, fulls)
def test_limits_never_leave_their_bounds(steps: list[tuple[float, float | None, int | None]], full: Limits) -> None:
    for _, state, limits in walk(steps, full=full):
        assert 0 <= state.cooling <= MAX_STATE
        assert 64 <= limits.max_side <= full.max_side
        assert limits.max_side % 32 == 0 or limits.max_side == full.max_side
        assert limits.min_interval_s >= full.min_interval_s
        assert 1 <= limits.max_in_flight <= full.max_in_flight
        assert limits.admit is (state.cooling < MAX_STATE)
        assert (limits.reason == "normal") is (state.cooling == 0)


@given(fulls)
def test_each_state_allows_no_more_than_the_one_before(full: Limits) -> None:
    ladder = [limits_of(State(cooling=cooling, reason="x"), full) for cooling in range(MAX_STATE + 1)]
    assert ladder[0].max_side == full.max_side
    for less, more in itertools.pairwise(reversed(ladder)):
        assert less.max_side <= more.max_side
        assert less.min_interval_s >= more.min_interval_s
        assert less.max_in_flight <= more.max_in_flight
        assert less.admit <= more.admit
    assert [limits.admit for limits in ladder] == [True] * MAX_STATE + [False]


@given(steps)
def test_a_cool_box_always_recovers_to_full_work(steps: list[tuple[float, float | None, int | None]]) -> None:
    way = walk(steps)
    state = way[-1][1] if way else State()
    at_s = way[-1][0].at_s if way else 0.0
    _, state, limits = walk(steady(60.0, MAX_STATE * 31 + 5), state, at_s=at_s)[-1]
    assert state.cooling == 0
    assert limits == FULL


@given(steps, temps, memories)
def test_a_steady_reading_is_answered_by_a_steady_state(
    steps: list[tuple[float, float | None, int | None]], temp_c: float | None, memory: int | None
) -> None:
    way = walk(steps)
    state = way[-1][1] if way else State()
    at_s = way[-1][0].at_s if way else 0.0
    states = [state.cooling, *(s.cooling for _, s, _ in walk(steady(temp_c, 400, memory), state, at_s=at_s))]
    changes = [b - a for a, b in itertools.pairwise(states) if a != b]
    assert all(change > 0 for change in changes) or all(change < 0 for change in changes), states
    assert len(set(states[-100:])) == 1


@given(steps)
def test_the_critical_point_stops_inference_at_once(steps: list[tuple[float, float | None, int | None]]) -> None:
    for now, state, limits in walk(steps):
        if now.thermal.soc_temp_c is not None and now.thermal.soc_temp_c >= POLICY.critical_temp_c:
            assert state.cooling == MAX_STATE
            assert not limits.admit


@given(steps)
def test_while_it_is_hot_or_short_of_memory_the_box_never_takes_more_work(
    steps: list[tuple[float, float | None, int | None]],
) -> None:
    former = State()
    for now, state, _ in walk(steps):
        hot = now.thermal.soc_temp_c is not None and now.thermal.soc_temp_c >= POLICY.target_temp_c
        if hot or now.memory.available_bytes == TOO_LITTLE:
            assert state.cooling >= former.cooling
        former = state


@given(steps)
def test_more_work_is_taken_only_after_a_while_of_being_clearly_cooler(
    steps: list[tuple[float, float | None, int | None]],
) -> None:
    way = walk(steps)
    for (_, former, _), (now, state, _) in itertools.pairwise(way):
        if state.cooling < former.cooling:
            assert state.cooling == former.cooling - 1
            recent = [r for r, _, _ in way if now.at_s - POLICY.recover_s < r.at_s <= now.at_s]
            for r in recent:
                assert r.thermal.soc_temp_c is None or r.thermal.soc_temp_c < POLICY.target_temp_c - POLICY.hysteresis_c
                assert r.memory.available_bytes != TOO_LITTLE


@given(steps, st.floats(75, 100), st.integers(1, 400))
def test_a_sensor_that_falls_silent_while_it_is_hot_does_not_count_as_cool(
    steps: list[tuple[float, float | None, int | None]], temp_c: float, silent_s: int
) -> None:
    way = walk([*steps, (1.0, temp_c, ENOUGH)])
    now, state, _ = way[-1]
    for _, later, _ in walk(steady(None, silent_s), state, at_s=now.at_s):
        assert later.cooling >= state.cooling


def test_heat_is_answered_one_rung_at_a_time_with_a_dwell() -> None:
    states = [state.cooling for _, state, _ in walk(steady(80.0, 65))]
    assert states[0] == 1
    assert states[9] == 1
    assert states[10] == 2
    assert states[-1] == MAX_STATE - 1  # only the critical point stops inference
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(states))


def test_between_the_bounds_nothing_changes() -> None:
    way = walk([*steady(80.0, 1), *steady(72.0, 300)])
    assert {state.cooling for _, state, _ in way} == {1}


def test_a_box_without_a_sensor_recovers_from_memory_pressure() -> None:
    way = walk([*steady(None, 30, TOO_LITTLE), *steady(None, 200)])
    assert max(state.cooling for _, state, _ in way) == 3
    assert way[-1][1].cooling == 0


def test_a_critical_moment_starts_the_wait_for_recovery_anew() -> None:
    way = walk([*steady(90.0, 1), *steady(60.0, 25), *steady(90.0, 1), *steady(60.0, 29)])
    assert way[-1][1].cooling == MAX_STATE


@pytest.mark.parametrize(
    ("temp_c", "memory", "reason"),
    [(80.0, ENOUGH, "temperature"), (90.0, ENOUGH, "critical_temperature"), (50.0, TOO_LITTLE, "memory")],
)
def test_the_limits_say_why(temp_c: float, memory: int, reason: str) -> None:
    assert walk([(1.0, temp_c, memory)])[0][2].reason == reason
