"""One waiting frame a camera, the newest; and whose turn it is."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.mailboxes import Mailboxes
from appliance.values import SkipReason
from tests.fakes import FakeClock
from tests.flow.frames import frame, jpeg


def mailboxes(clock: FakeClock | None = None, **bounds: Any) -> Mailboxes:
    return Mailboxes(
        **({"max_cameras": 100, "max_bytes": 10**9, "max_age_s": 2.0} | bounds), clock=clock or FakeClock()
    )


async def taken(boxes: Mailboxes) -> str:
    with anyio.fail_after(5):
        given_out, _ = await boxes.take()
    assert given_out is not None
    return given_out.camera


async def test_the_newest_frame_replaces_the_waiting_one() -> None:
    boxes = mailboxes()
    old, new = frame(), frame()
    assert boxes.offer(old) == []
    assert boxes.offer(new) == [(old, SkipReason.SUPERSEDED)]
    assert len(boxes) == 1
    assert boxes.bytes == len(new.picture.data)
    assert await boxes.take() == (new, [])
    assert boxes.bytes == 0


async def test_a_frame_that_waited_too_long_is_expired_and_not_served() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    old = frame("a", at_s=clock())
    boxes.offer(old)
    clock.pass_(2.001)
    young = frame("b", at_s=clock())
    boxes.offer(young)
    assert await boxes.take() == (young, [(old, SkipReason.EXPIRED)])
    assert len(boxes) == 0


async def test_when_all_have_expired_no_frame_is_taken() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    old = frame(at_s=clock())
    boxes.offer(old)
    clock.pass_(3)
    assert await boxes.take() == (None, [(old, SkipReason.EXPIRED)])


def test_too_many_waiting_cameras_refuse_the_next_one_but_not_the_known_ones() -> None:
    boxes = mailboxes(max_cameras=2)
    boxes.offer(frame("a"))
    boxes.offer(frame("b"))
    late = frame("c")
    assert boxes.offer(late) == [(late, SkipReason.OVERLOADED)]
    (lost,) = boxes.offer(frame("a"))
    assert lost[1] is SkipReason.SUPERSEDED


def test_too_many_waiting_bytes_refuse_the_next_frame_and_keep_the_waiting_one() -> None:
    data = jpeg(1, 640, 480)
    boxes = mailboxes(max_bytes=2 * len(data) + 10)
    boxes.offer(frame("a", data=data))
    boxes.offer(frame("b", data=data))
    late = frame("c", data=data)
    assert boxes.offer(late) == [(late, SkipReason.OVERLOADED)]
    larger = frame("a", data=data + bytes(100))
    assert boxes.offer(larger) == [(larger, SkipReason.OVERLOADED)]
    assert len(boxes) == 2
    (lost,) = boxes.offer(frame("a", data=data))
    assert lost[1] is SkipReason.SUPERSEDED


async def test_a_higher_priority_goes_first_whenever_it_has_a_frame() -> None:
    boxes = mailboxes()
    for _ in range(5):
        boxes.offer(frame("low"))
        boxes.offer(frame("high"), priority=5)
        assert await taken(boxes) == "high"
        boxes.charge("high", 10.0)
    assert await taken(boxes) == "low"


async def test_withdrawing_empties_every_box() -> None:
    boxes = mailboxes()
    frames = [frame(name) for name in "abc"]
    for one in frames:
        boxes.offer(one)
    assert boxes.withdraw_all() == frames
    assert (len(boxes), boxes.bytes) == (0, 0)


async def simulate(
    boxes: Mailboxes,
    clock: FakeClock,
    cameras: dict[str, tuple[float, float, int]],
    *,
    slots: int = 1,
    seconds: float = 600.0,
    from_s: dict[str, float] | None = None,
) -> Counter[str]:
    """Engine seconds of each camera (weight, cost s, priority) when all of them always have a frame ready."""
    start_s = clock()
    used: Counter[str] = Counter()
    running: list[tuple[float, str]] = []
    waiting: set[str] = set()
    while clock() - start_s < seconds:
        for name, (weight, _, priority) in cameras.items():
            if name not in waiting and clock() - start_s >= (from_s or {}).get(name, 0.0):
                boxes.offer(frame(name, seed=1, at_s=clock()), weight=weight, priority=priority)
                waiting.add(name)
        while len(running) < slots and len(boxes):
            name = await taken(boxes)
            waiting.remove(name)
            heapq.heappush(running, (clock() + cameras[name][1], name))
        done_s, name = heapq.heappop(running)
        clock.pass_(done_s - clock())
        boxes.charge(name, cameras[name][1])
        used[name] += cameras[name][1]  # type: ignore[assignment]  # seconds, counted in fractions
    return used


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("costs", [(0.05, 0.05, 0.05), (0.02, 0.05, 0.08), (0.15, 0.05, 0.03)])
async def test_weights_one_two_four_get_engine_time_one_two_four(slots: int, costs: tuple[float, float, float]) -> None:
    clock = FakeClock()
    cameras = {name: (float(2**n), cost, 0) for n, (name, cost) in enumerate(zip("abc", costs, strict=True))}
    if slots == 4:
        cameras |= dict.fromkeys("defghijk", (1.0, 0.05, 0))  # else there is a slot for everybody
    used = await simulate(mailboxes(clock), clock, cameras, slots=slots, seconds=300)
    unit = used["a"]
    if slots < 2:
        assert used["b"] / unit == pytest.approx(2, rel=0.05)
        assert used["c"] / unit == pytest.approx(4, rel=0.05)
    elif slots == 4:
        assert used["b"] / unit == pytest.approx(2, rel=0.05)
        assert used["d"] / unit == pytest.approx(1, rel=0.05)
    else:
        # One frame a camera waits and two are served: c is always among them, the rest goes by weight.
        assert used["b"] / unit == pytest.approx(2, rel=0.1)


async def test_weights_hold_among_the_lower_while_a_higher_priority_is_served() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    used: Counter[str] = Counter()
    waiting: set[str] = set()
    for number in range(4000):
        if number % 2 == 0:
            boxes.offer(frame("first", seed=1, at_s=clock()), priority=9)
        for name, weight in (("a", 1.0), ("b", 4.0)):
            if name not in waiting:
                boxes.offer(frame(name, seed=1, at_s=clock()), weight=weight)
                waiting.add(name)
        name = await taken(boxes)
        waiting.discard(name)
        clock.pass_(0.05)
        boxes.charge(name, 0.05)
        used[name] += 1
    assert used["first"] == 2000
    assert used["b"] / used["a"] == pytest.approx(4, rel=0.05)


async def test_a_newcomer_has_no_credit_from_before_it_came() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    cameras = {"old": (1.0, 0.05, 0), "new": (1.0, 0.05, 0)}
    used = await simulate(boxes, clock, cameras, seconds=400, from_s={"new": 200.0})
    assert used["new"] == pytest.approx(100, rel=0.05)
    assert used["old"] == pytest.approx(300, rel=0.05)


async def test_who_was_away_does_not_save_up_turns() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    both = {"a": (1.0, 0.05, 0), "b": (1.0, 0.05, 0)}
    await simulate(boxes, clock, both, seconds=10)
    boxes.withdraw_all()
    await simulate(boxes, clock, {"a": both["a"]}, seconds=100)
    used = await simulate(boxes, clock, both, seconds=20)
    assert used["b"] == pytest.approx(10, rel=0.1)


async def test_a_camera_with_several_frames_under_way_gets_no_turns_for_free() -> None:
    boxes = mailboxes()
    for name in "ab":  # both have a known cost
        boxes.offer(frame(name))
        await taken(boxes)
        boxes.charge(name, 0.1)
    turns = []
    for _ in range(6):
        for name in "ab":
            boxes.offer(frame(name))
        turns.append(await taken(boxes))  # nothing is charged yet
    assert sorted(turns) == list("aaabbb")


async def test_a_forgotten_camera_still_gets_its_waiting_frame_served() -> None:
    boxes = mailboxes()
    boxes.offer(frame("a"))
    boxes.forget("a")
    assert await taken(boxes) == "a"
    boxes.forget("a")
    boxes.charge("a", 0.1)
    boxes.charge("nobody", 0.1)
    boxes.forget("a")


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from([8, 64, 200]), st.booleans(), st.floats(0, 1.5)),
        max_size=60,
    )
)
def test_every_frame_leaves_exactly_once_and_the_bounds_hold(steps: list[tuple[str, int, bool, float]]) -> None:
    clock = FakeClock()
    boxes = mailboxes(clock, max_cameras=3, max_bytes=30_000)
    inside: set[int] = set()

    def left(number: object) -> None:
        assert isinstance(number, int)
        inside.remove(number)

    async def run() -> None:
        for camera, side, take, seconds in steps:
            one = frame(camera, data=jpeg(side, side, side), at_s=clock())
            inside.add(int(one.frame_id))
            for lost, _ in boxes.offer(one):
                left(lost.frame_id)
            assert len(boxes) == len(inside) <= 3
            assert boxes.bytes <= 30_000
            clock.pass_(seconds)
            if take and len(boxes):
                served, expired = await boxes.take()
                for lost, reason in expired:
                    assert reason is SkipReason.EXPIRED
                    left(lost.frame_id)
                if served is not None:
                    assert clock() - served.received_s <= 2.0
                    left(served.frame_id)
                    boxes.charge(served.camera, seconds)
        for rest in boxes.withdraw_all():
            left(rest.frame_id)
        assert not inside
        assert boxes.bytes == 0

    anyio.run(run)
