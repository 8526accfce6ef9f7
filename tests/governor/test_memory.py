"""Memory shortage: what nobody notices goes first, frames last, and everything returns in reverse order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.governor.memory import Shortage, next_shortage, room_bytes, within
from appliance.readings import Memory
from appliance.values import Limits

MB = 1_000_000
LEAST = 100 * MB
FULL = Limits(640, 0.0, 8, next_side=512)

rooms = st.one_of(st.none(), st.integers(0, 400))


def walk(rooms_mb: list[int | None], start: Shortage | None = None, every_s: float = 1.0) -> list[Shortage]:
    shortage = start or Shortage()
    way = []
    for second, room in enumerate(rooms_mb):
        memory = Memory(available_bytes=None if room is None else room * MB)
        shortage = next_shortage(shortage, memory, 1000 + second * every_s, LEAST)
        way.append(shortage)
    return way


@pytest.mark.parametrize(("room_mb", "stage"), [(201, 0), (199, 1), (149, 2), (99, 3), (74, 4), (49, 5), (0, 5)])
def test_each_stage_starts_with_less_memory(room_mb: int, stage: int) -> None:
    assert walk([room_mb])[0].stage == stage


def test_what_nobody_notices_is_given_up_first() -> None:
    none, cache, sizes, single, newcomers, frames = (within(FULL, stage) for stage in range(6))
    assert none == FULL
    assert cache == Limits(640, 0.0, 8, next_side=512, cache_part=0.0)
    assert (sizes.most_sizes, sizes.next_side, sizes.max_in_flight) == (1, 0, 8)
    assert (single.max_in_flight, single.new_cameras) == (1, True)
    assert (newcomers.new_cameras, newcomers.admit) == (False, True)
    assert not frames.admit


@settings(deadline=None)
@given(st.lists(rooms, max_size=60))
def test_recovery_is_one_stage_at_a_time_and_ten_seconds_apart(rooms_mb: list[int | None]) -> None:
    way = [Shortage(), *walk(rooms_mb)]
    for before, after in itertools.pairwise(way):
        assert after.stage >= before.stage - 1
        if after.stage < before.stage:
            assert after.since_s - before.since_s >= 10


@settings(deadline=None)
@given(st.lists(rooms, max_size=60))
def test_recovery_is_complete_when_memory_is_available_again(rooms_mb: list[int | None]) -> None:
    start = [Shortage(), *walk(rooms_mb)][-1]
    assert walk([400] * 60, Shortage(start.stage, 0.0))[-1].stage == 0


@settings(deadline=None)
@given(rooms, st.integers(0, 5))
def test_less_memory_never_allows_more(room_mb: int | None, stage: int) -> None:
    if room_mb is not None:
        more, less = (walk([room], Shortage(stage, 0.0))[0].stage for room in (room_mb, room_mb // 2))
        assert less >= more


def test_the_stage_does_not_oscillate_at_a_threshold() -> None:
    stages = [one.stage for one in walk([99, 101] * 100)]
    assert set(stages) == {3}


def changes(room_mb: Callable[[Shortage, int], int], seconds: int = 3600) -> list[int]:
    """Seconds at which the stage changes; `room_mb`: memory that is available after so long in this stage."""
    shortage, way, second_of_stage = Shortage(), [], 0
    for second in range(seconds):
        memory = Memory(available_bytes=room_mb(shortage, second_of_stage) * MB)
        later = next_shortage(shortage, memory, 1000.0 + second, LEAST)
        second_of_stage = 0 if later.stage != shortage.stage else second_of_stage + 1
        if later.stage != shortage.stage:
            way.append(second)
        shortage = later
    return way


@pytest.mark.parametrize("used_again_s", [1, 20, 90])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_stage_that_was_ended_by_what_it_frees_returns_ever_more_rarely(stage: int, used_again_s: int) -> None:
    starts_mb = (0, 200, 150, 100)[stage]

    def room_mb(shortage: Shortage, for_s: int) -> int:
        given_up = shortage.stage >= stage or for_s < used_again_s
        return starts_mb + 40 if given_up else starts_mb - 20

    way = changes(room_mb)
    assert len(way) <= 14
    assert len([second for second in way if second >= 1800]) <= 4


def test_a_stage_ends_after_ten_seconds_as_often_as_memory_is_really_free_again() -> None:
    way = changes(lambda shortage, for_s: 400 if shortage.stage and for_s >= 5 else 400 if for_s < 600 else 180)
    assert len(way) == 10
    assert [after - before for before, after in itertools.pairwise(way)][::2] == [10] * 5


def test_after_a_return_a_stage_ends_soon_once_what_it_gave_up_is_available_as_well() -> None:
    shortage = Shortage(3, 0.0)
    for now_s, room in ((10.0, 130), (11.0, 90), (25.0, 130), (100.0, 130), (101.0, 145), (102.0, 155)):
        shortage = next_shortage(shortage, Memory(available_bytes=room * MB), now_s, LEAST)
        assert (shortage.stage == 3) == (now_s in (11.0, 25.0, 100.0, 101.0)), now_s


def test_what_another_program_took_meanwhile_is_not_demanded_for_ever() -> None:
    shortage = Shortage(3, 0.0)
    for now_s, room in ((10.0, 900), (11.0, 90)):
        shortage = next_shortage(shortage, Memory(available_bytes=room * MB), now_s, LEAST)
    for second in range(12, 800):
        shortage = next_shortage(shortage, Memory(available_bytes=300 * MB), float(second), LEAST)
    assert shortage.stage == 0


def test_the_limit_of_the_control_group_counts_and_its_file_cache_does_not() -> None:
    memory = Memory(available_bytes=3000 * MB, cgroup_used_bytes=400 * MB, cgroup_cache_bytes=90 * MB,
                    cgroup_limit_bytes=500 * MB)  # fmt: skip
    assert room_bytes(memory) == 100 * MB
    assert next_shortage(Shortage(), memory, 0.0, LEAST).stage == 1  # below twice an eighth of 500 MB


def test_a_small_control_group_is_not_permanently_short_of_memory() -> None:
    memory = Memory(available_bytes=3000 * MB, cgroup_used_bytes=80 * MB, cgroup_limit_bytes=256 * MB)
    assert next_shortage(Shortage(), memory, 0.0, LEAST).stage == 0


@pytest.mark.parametrize(("percent", "stage"), [(5.0, 0), (25.0, 2), (60.0, 3)])
def test_tasks_that_wait_for_memory_override_the_counters(percent: float, stage: int) -> None:
    memory = Memory(available_bytes=4000 * MB, pressure_percent=percent)
    assert next_shortage(Shortage(), memory, 0.0, LEAST).stage == stage


def test_unknown_memory_does_not_change_the_stage() -> None:
    assert walk([None] * 50, Shortage(4, 0.0))[-1].stage == 4


def test_frames_are_refused_for_some_minutes_only_while_memory_is_unknown() -> None:
    way = walk([0, *[None] * 400])
    assert [shortage.stage for shortage in (way[0], way[290], way[310], way[-1])] == [5, 5, 3, 3]
    assert walk([100], way[-1], every_s=1.0)[-1].stage == 3


def test_the_soft_limit_of_the_control_group_counts_like_the_hard_one() -> None:
    memory = Memory(
        available_bytes=4000 * MB, total_bytes=8000 * MB, cgroup_used_bytes=960 * MB, cgroup_limit_bytes=1200 * MB,
        cgroup_high_bytes=1000 * MB,
    )  # fmt: skip
    assert room_bytes(memory) == 40 * MB
    assert next_shortage(Shortage(), memory, 1000.0, LEAST).stage == 4, "frames are refused at the hard limit only"
    full = replace(memory, cgroup_used_bytes=1180 * MB)
    assert next_shortage(Shortage(), full, 1000.0, LEAST).stage == 5
    over = Memory(cgroup_used_bytes=1100 * MB, cgroup_high_bytes=1000 * MB)
    assert room_bytes(over) == 0
    small = Memory(cgroup_used_bytes=450 * MB, cgroup_high_bytes=500 * MB)
    assert next_shortage(Shortage(), small, 1000.0, 400 * MB).stage == 3, "an eighth of it is the setting at most"
