"""Asking cameras to move, and closing those that stay."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.site.mover import Mover
from appliance.site.moves import Move, MoveReason, MoveRules, Resident
from tests.fakes import FakeClock


class FakeVisitors:
    """Cameras of one device; those in `obedient` leave when they are asked."""

    def __init__(self, *names: str, obedient: Sequence[str] = ()) -> None:
        self.here, self.obedient = list(names), obedient
        self.asked: list[Move] = []
        self.closed: list[str] = []
        self.busy: set[str] = set()
        self.held: list[str] = []

    def residents(self) -> Sequence[Resident]:
        return [Resident(name) for name in self.here]

    def ask(self, move: Move) -> None:
        self.asked.append(move)
        if move.camera in self.obedient:
            self.here.remove(move.camera)

    def is_busy(self, camera: str) -> bool:
        return camera in self.busy

    def hold(self, camera: str, wait_s: float) -> None:
        self.held.append(camera)

    async def close(self, camera: str) -> None:
        self.closed.append(camera)
        self.here.remove(camera)


def mover(visitors: FakeVisitors, clock: FakeClock) -> Mover:
    return Mover(visitors=visitors, rules=MoveRules(), clock=clock)


async def test_a_drain_asks_each_camera_once_and_closes_only_those_that_stay() -> None:
    visitors, clock = FakeVisitors("agent", "plain", obedient=["agent"]), FakeClock()
    moves = mover(visitors, clock)
    moves.drain(True)
    for _ in range(5):
        moves.decide()
        await moves.carry_out()
        clock.pass_(1.0)
    assert sorted(move.camera for move in visitors.asked) == ["agent", "plain"]
    assert visitors.closed == ["plain"]
    assert moves.moved[MoveReason.DRAINING] == 2
    assert moves.cameras == 0


async def test_a_camera_is_closed_only_when_it_has_its_answers() -> None:
    visitors, clock = FakeVisitors("plain"), FakeClock()
    moves = mover(visitors, clock)
    visitors.busy.add("plain")
    moves.drain(True)
    moves.decide()
    clock.pass_(3.0)
    await moves.carry_out()
    assert visitors.closed == []
    visitors.busy.clear()
    await moves.carry_out()
    assert visitors.closed == []  # an answer may still be on its way to the socket
    await moves.carry_out()
    assert visitors.closed == ["plain"]


async def test_nothing_more_is_read_from_a_camera_before_it_is_cut_off() -> None:
    visitors, clock = FakeVisitors("plain"), FakeClock()
    moves = mover(visitors, clock)
    moves.drain(True)
    moves.decide()
    clock.pass_(1.9)
    await moves.carry_out()
    assert visitors.held == []
    clock.pass_(0.1)
    for _ in range(2):
        assert visitors.closed == []
        await moves.carry_out()
        assert visitors.held == ["plain"]  # once
    assert visitors.closed == ["plain"]


async def test_a_device_that_stops_does_not_wait_long_for_cameras_to_go_by_themselves() -> None:
    visitors, clock = FakeVisitors("plain"), FakeClock()
    moves = mover(visitors, clock)
    moves.leaving = True
    moves.decide()
    clock.pass_(0.5)
    await moves.carry_out()
    await moves.carry_out()
    assert visitors.closed == ["plain"]


async def test_a_hanging_answer_holds_a_camera_for_five_seconds_at_most() -> None:
    visitors, clock = FakeVisitors("plain"), FakeClock()
    moves = mover(visitors, clock)
    visitors.busy.add("plain")
    moves.drain(True)
    moves.decide()
    clock.pass_(5.0)
    await moves.carry_out()
    assert visitors.closed == ["plain"]


async def test_a_moved_camera_is_refused_for_a_while_and_then_taken_again() -> None:
    visitors, clock = FakeVisitors("gate", obedient=["gate"]), FakeClock()
    moves = mover(visitors, clock)
    moves.leaving = True
    moves.decide()
    moves.leaving = False
    assert moves.refuses("gate")
    assert not moves.refuses("yard")
    assert not moves.refuses(None)
    clock.pass_(14.0)
    moves.decide()
    assert moves.refuses("gate")
    clock.pass_(1.0)
    assert not moves.refuses("gate")


def test_a_drained_device_refuses_everybody_until_it_is_undrained() -> None:
    moves = mover(FakeVisitors(), FakeClock())
    moves.drain(True)
    assert moves.refuses(None)
    assert moves.refuses("gate")
    moves.drain(False)
    assert not moves.refuses("gate")
