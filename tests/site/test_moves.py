"""Which cameras move, and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.site.moves import (
    Move,
    MoveReason,
    MoveRules,
    MoveState,
    OtherDevice,
    Resident,
    Situation,
    decide_moves,
    fair_share,
)

RULES = MoveRules()
SETTLED = 1000.0


def cameras(count: int, here_s: float = SETTLED, priority: int = 0) -> list[Resident]:
    return [Resident(f"c{number}-{priority}", priority, here_s) for number in range(count)]


def second_by_second(seen: Situation, seconds: int, state: MoveState | None = None) -> tuple[MoveState, list[Move]]:
    """Decide each second; cameras that move are gone."""
    state = state or MoveState()
    moved: list[Move] = []
    for second in range(seconds):
        state, moves = decide_moves(state, replace(seen, now_s=seen.now_s + second), RULES)
        gone = {move.camera for move in moves}
        seen = replace(seen, residents=[one for one in seen.residents if one.name not in gone])
        arrived = Counter(move.to for move in moves)
        others = {name: replace(one, cameras=one.cameras + arrived[name]) for name, one in seen.others.items()}
        seen = replace(seen, others=others)
        moved += moves
    return state, moved


def test_a_cool_device_keeps_its_cameras() -> None:
    assert second_by_second(Situation(0, 1.0, cameras(20)), 600)[1] == []


def test_a_hot_device_moves_the_lowest_priority_first_a_few_a_second() -> None:
    residents = [*cameras(10, priority=5), *cameras(10, priority=0)]
    state, moves = second_by_second(Situation(0, 0.3, residents), 30)
    assert len(moves) == 4  # a fifth
    assert all(move.camera.endswith("-0") and move.reason is MoveReason.HOT for move in moves)
    seen = Situation(1000, 0.3, cameras(100))
    assert len(decide_moves(replace(state, next_batch_s=0), seen, RULES)[1]) == RULES.per_s


def test_a_hot_device_that_processes_nothing_moves_everybody_who_may_move() -> None:
    residents = [*cameras(18), Resident("new", here_s=0.0)]
    _, moves = second_by_second(Situation(0, 0.0, residents, others={"cool": OtherDevice(1.0, 1.0, 0)}), 20)
    assert len(moves) == 18


def test_a_short_heat_moves_nobody() -> None:
    state, moves = second_by_second(Situation(0, 0.3, cameras(20)), 9)
    assert (state.hot, moves) == (False, [])


def test_a_device_between_the_thresholds_stays_as_it_is() -> None:
    hot, _ = second_by_second(Situation(0, 0.3, cameras(20)), 20)
    assert second_by_second(Situation(20, 0.7, cameras(20)), 30, hot)[0].hot
    assert not second_by_second(Situation(20, 0.7, cameras(20)), 30)[0].hot
    assert not second_by_second(Situation(20, 0.9, cameras(20)), 30, hot)[0].hot


def test_a_hot_device_waits_for_the_effect_of_a_batch() -> None:
    assert len(second_by_second(Situation(0, 0.3, cameras(20)), 60)[1]) == 4
    assert len(second_by_second(Situation(0, 0.3, cameras(20)), 80)[1]) == 8  # a fifth of 16, rounded up


def test_a_camera_that_has_just_come_is_not_moved_by_heat() -> None:
    assert second_by_second(Situation(0, 0.3, cameras(20, here_s=800)), 60)[1] == []


def test_viewers_are_not_moved_by_heat() -> None:
    viewers = [replace(one, sends=False) for one in cameras(20)]
    assert second_by_second(Situation(0, 0.3, viewers), 60)[1] == []


def test_a_hot_device_keeps_its_cameras_if_nobody_is_cooler() -> None:
    others = {"box2": OtherDevice(0.3, 1, 5), "box3": OtherDevice(0.0, 1, 0)}
    assert second_by_second(Situation(0, 0.3, cameras(20), others=others), 60)[1] == []
    others["box3"] = OtherDevice(1.0, 1, 5)
    assert {move.to for move in second_by_second(Situation(0, 0.3, cameras(20), others=others), 60)[1]} == {"box3"}


def test_a_drained_device_moves_everybody_a_few_a_second() -> None:
    viewers = [replace(one, sends=False) for one in cameras(3, priority=1)]
    seen = Situation(0, 0.0, [*cameras(7, here_s=0), *viewers], draining=True)
    assert len(decide_moves(MoveState(), seen, RULES)[1]) == RULES.per_s
    assert len(second_by_second(seen, 4)[1]) == 10


def test_a_leaving_device_moves_everybody_at_once() -> None:
    _, moves = decide_moves(MoveState(), Situation(0, 0.0, cameras(50, here_s=0), leaving=True), RULES)
    assert len(moves) == 50
    assert {move.reason for move in moves} == {MoveReason.LEAVING}


def test_a_device_that_comes_back_is_filled_by_moves() -> None:
    others = {"box2": OtherDevice(1.0, 1, 30), "box3": OtherDevice(1.0, 1, 0)}
    seen = Situation(0, 1.0, cameras(30), others=others)
    assert fair_share(seen) == 20
    _, moves = second_by_second(seen, 60)
    assert {move.to for move in moves} == {"box3"}
    assert len(moves) == 9  # until it is within a camera of its share


def test_a_device_that_has_just_started_gives_away_what_came_before_the_others_were_up() -> None:
    """After a power cut; otherwise it would be overloaded for `settle_s`."""
    others = {"two": OtherDevice(1.0, 1.0, 0)}
    seen = Situation(0, 1.0, cameras(40, here_s=61.0), others=others)
    _, moves = second_by_second(replace(seen, up_s=70.0), 60)
    assert len(moves) == 19
    assert second_by_second(replace(seen, up_s=600.0), 60)[1] == []
    young = replace(seen, residents=cameras(40, here_s=59.0), up_s=70.0)
    assert second_by_second(young, 60)[1] == []


def test_a_weaker_device_has_a_smaller_share() -> None:
    assert fair_share(Situation(0, 1.0, cameras(30), capacity=10, others={"pi": OtherDevice(0.5, 10, 0)})) == 20


@dataclass
class Device:
    """A device of the simulated site."""

    headroom: float
    up: bool = True
    state: MoveState = field(default_factory=MoveState)
    since_s: dict[str, float] = field(default_factory=dict)
    """Its cameras, and since when they are here."""


CHANGES = st.lists(
    st.tuples(st.integers(1, 400), st.integers(0, 2), st.sampled_from([0.0, 0.1, 0.45, 0.55, 0.79, 0.81, 1.0])),
    max_size=20,
)


@settings(max_examples=20, deadline=None)
@given(CHANGES, st.integers(1, 8))
def test_no_camera_is_moved_more_often_than_every_settle_s(changes: list[tuple[int, int, float]], count: int) -> None:
    """Whatever the temperatures do: at most four moves an hour for each camera, on all devices together."""
    site = {f"box{number}": Device(1.0) for number in range(3)}
    for number in range(count):
        site["box0"].since_s[f"c{number}"] = -SETTLED
    moves: Counter[str] = Counter()
    now = 0
    for wait_s, which, headroom in [*changes, (1200, 0, 1.0)]:
        for _ in range(wait_s // 2):
            now += 2
            for name, device in site.items():
                seen = Situation(
                    now,
                    device.headroom,
                    [Resident(camera, 0, now - since_s) for camera, since_s in device.since_s.items()],
                    others={
                        other: OtherDevice(one.headroom, 1.0, len(one.since_s))
                        for other, one in site.items()
                        if other != name
                    },
                )
                device.state, decided = decide_moves(device.state, seen, RULES)
                for move in decided:
                    assert now - device.since_s.pop(move.camera) >= RULES.settle_s
                    assert move.to is not None
                    site[move.to].since_s[move.camera] = now
                    moves[move.camera] += 1
        site[f"box{which}"].headroom = headroom
    assert sum(len(device.since_s) for device in site.values()) == count
    assert all(times <= now / RULES.settle_s + 1 for times in moves.values())
