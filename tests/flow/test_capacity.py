"""The part of the engine that is allocated: what changes it, and its bounds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.capacity import LEAST, MOST, EngineCapacity, LoadEvidence, adapt, restarted

TICK_S = 0.5
part = st.floats(0, 1)
evidence = st.builds(
    LoadEvidence,
    shortest_wait=st.none() | st.floats(0, 5),
    longest_wait=st.floats(0, 10),
    idle=st.none() | part,
    spent=st.floats(0, 2),
    wanted=st.booleans(),
    duty=part,
)


def after(seconds: float, seen: LoadEvidence, capacity: EngineCapacity, from_s: float = 0.0) -> EngineCapacity:
    for number in range(int(seconds / TICK_S)):
        capacity = adapt(capacity, seen, from_s + number * TICK_S)
    return capacity


@given(st.lists(st.tuples(evidence, st.floats(0, 100)), max_size=60))
def test_it_stays_within_its_bounds_whatever_is_seen(steps: list[tuple[LoadEvidence, float]]) -> None:
    capacity, now_s = EngineCapacity(), 0.0
    for seen, gap_s in steps:
        now_s += gap_s
        before, capacity = capacity, adapt(capacity, seen, now_s)
        assert LEAST <= capacity.use <= MOST
        assert 0.6 * before.use <= capacity.use + 1e-9
        assert capacity.use <= 1.25 * before.use + 1e-9


@given(evidence)
def test_what_no_camera_wants_is_not_allocated(seen: LoadEvidence) -> None:
    assert after(60, replace(seen, wanted=False), EngineCapacity()).use <= EngineCapacity().use


def test_idle_time_that_a_camera_wants_is_allocated_within_seconds() -> None:
    seen = LoadEvidence(0.0, 0.5, idle=0.3, spent=0.7, wanted=True)
    assert after(3, seen, EngineCapacity()).use >= 0.95


def test_a_full_engine_without_a_queue_changes_nothing() -> None:
    seen = LoadEvidence(0.1, 1.5, idle=0.01, spent=0.9, wanted=True)
    assert after(600, seen, EngineCapacity(use=0.95)).use == 0.95


def test_a_standing_queue_brings_it_down_to_what_the_engine_does() -> None:
    seen = LoadEvidence(2.0, 3.0, idle=0.0, spent=0.6, wanted=True)
    found = after(3, seen, EngineCapacity(use=1.0, spent=0.6))
    assert 0.55 <= found.use <= 0.6


def test_a_queue_that_stays_although_less_is_allocated_brings_it_down_further() -> None:
    seen = LoadEvidence(2.0, 3.0, idle=0.0, spent=0.6, wanted=True)
    assert after(20, seen, EngineCapacity(use=0.6, spent=0.6)).use < 0.55


def test_one_long_wait_among_short_ones_changes_nothing() -> None:
    seen = LoadEvidence(0.0, 2.5, idle=0.0, spent=0.9, wanted=True)
    assert after(600, seen, EngineCapacity(use=0.95)).use == 0.95


def test_an_attempt_that_failed_is_repeated_later_each_time() -> None:
    """4 % of the time is idle; a queue stands as soon as it is allocated."""
    capacity, raised_s, now_s = EngineCapacity(use=0.94), list[float](), 0.0
    while now_s < 3600:
        full = capacity.use > 0.95
        idle = 0.0 if full else 0.04
        seen = LoadEvidence(2.0 if full else 0.0, 3.0, idle=idle, spent=0.94, wanted=True)
        before, capacity = capacity, adapt(capacity, seen, now_s)
        if capacity.use > before.use:
            raised_s.append(now_s)
        now_s += TICK_S
    assert 3 <= len(raised_s) <= 40


def test_idle_time_before_a_change_of_the_cameras_proves_nothing() -> None:
    idle = LoadEvidence(0.0, 0.5, idle=0.5, spent=0.4, wanted=True)
    capacity = restarted(after(0.5, idle, EngineCapacity()), 10.0)
    assert adapt(capacity, replace(idle, idle=0.0, spent=0.9), 10.5).use == capacity.use


@given(st.floats(0.05, 0.9))
def test_time_that_the_governor_keeps_idle_is_not_allocated(duty: float) -> None:
    seen = LoadEvidence(0.0, 0.5, idle=1 - 0.95 * duty, spent=0.95 * duty, wanted=True, duty=duty)
    assert after(60, seen, EngineCapacity(use=0.95)).use <= 0.96
