"""One waiting frame a camera, the newest; and whose turn it is."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.mailboxes import Mailboxes
from appliance.values import LARGE_BYTES, Frame, SkipReason
from tests.fakes import FakeClock
from tests.flow.frames import frame, jpeg


def mailboxes(clock: FakeClock | None = None, **bounds: Any) -> Mailboxes:
    return Mailboxes(
        **({"max_cameras": 100, "max_bytes": 10**9, "max_age_s": 2.0} | bounds), clock=clock or FakeClock()
    )


def large_frame(camera: str) -> Frame:
    small = frame(camera)
    return replace(small, picture=replace(small.picture, held_bytes=LARGE_BYTES + 1))


def taken(boxes: Mailboxes) -> str:
    given_out = boxes.take(lambda: 1000)
    assert given_out is not None
    return given_out.camera


def test_the_newest_frame_replaces_the_waiting_one() -> None:
    boxes = mailboxes()
    old, new = frame(), frame()
    assert boxes.offer(old) == []
    assert boxes.offer(new) == [(old, SkipReason.SUPERSEDED)]
    assert len(boxes) == 1
    assert boxes.bytes == len(new.picture.data)
    assert boxes.take(lambda: 1) is new
    assert boxes.bytes == 0


def test_a_frame_that_waited_too_long_is_expired_and_not_served() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    old = frame("a", at_s=clock())
    boxes.offer(old)
    clock.pass_(2.001)
    young = frame("b", at_s=clock())
    boxes.offer(young)
    assert boxes.take(lambda: 1) is young
    assert boxes.expire() == [(old, SkipReason.EXPIRED)]
    assert len(boxes) == 0
    assert boxes.expire() == []


def taking(boxes: Mailboxes, most: Callable[[], int]) -> tuple[threading.Thread, list[Frame | None]]:
    """A thread that takes one frame, and what it got; None while it waits is no frame at all."""
    got: list[Frame | None] = []
    thread = threading.Thread(target=lambda: got.append(boxes.take(most)), daemon=True)
    thread.start()
    return thread, got


def test_who_waits_for_a_frame_gets_the_next_one_that_is_offered() -> None:
    boxes = mailboxes()
    thread, got = taking(boxes, lambda: 1)
    one = frame()
    boxes.offer(one)
    thread.join(10)
    assert got == [one]
    assert boxes.in_flight == 1


def test_no_more_frames_are_given_out_than_may_be_under_way_until_more_may() -> None:
    most = [1]
    boxes = mailboxes()
    first, second = frame("a"), frame("b")
    boxes.offer(first)
    boxes.offer(second)
    assert boxes.take(lambda: most[0]) is first
    thread, got = taking(boxes, lambda: most[0])
    thread.join(0.05)
    assert got == []
    most[0] = 2
    boxes.wake()
    thread.join(10)
    assert got == [second]


def test_closing_sends_away_who_waits_and_whoever_comes_later() -> None:
    boxes = mailboxes()
    waiting = [taking(boxes, lambda: 1) for _ in range(3)]
    boxes.close()
    for thread, got in waiting:
        thread.join(10)
        assert got == [None]
    assert boxes.take(lambda: 1) is None


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


def test_a_higher_priority_goes_first_whenever_it_has_a_frame() -> None:
    boxes = mailboxes()
    for _ in range(5):
        boxes.offer(frame("low"))
        boxes.offer(frame("high"), priority=5)
        assert taken(boxes) == "high"
        boxes.done("high", 10.0)
    assert taken(boxes) == "low"


def test_closing_empties_every_box() -> None:
    boxes = mailboxes()
    for name in "abc":
        boxes.offer(frame(name))
    boxes.close()
    assert (len(boxes), boxes.bytes) == (0, 0)


def simulate(
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
            name = taken(boxes)
            waiting.remove(name)
            heapq.heappush(running, (clock() + cameras[name][1], name))
        done_s, name = heapq.heappop(running)
        clock.pass_(done_s - clock())
        boxes.done(name, cameras[name][1])
        used[name] += cameras[name][1]  # type: ignore[assignment]  # seconds, counted in fractions
    return used


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("costs", [(0.05, 0.05, 0.05), (0.02, 0.05, 0.08), (0.15, 0.05, 0.03)])
def test_weights_one_two_four_get_engine_time_one_two_four(slots: int, costs: tuple[float, float, float]) -> None:
    clock = FakeClock()
    cameras = {name: (float(2**n), cost, 0) for n, (name, cost) in enumerate(zip("abc", costs, strict=True))}
    if slots == 4:
        cameras |= dict.fromkeys("defghijk", (1.0, 0.05, 0))  # else there is a slot for everybody
    used = simulate(mailboxes(clock), clock, cameras, slots=slots, seconds=300)
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


def test_weights_hold_among_the_lower_while_a_higher_priority_is_served() -> None:
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
        name = taken(boxes)
        waiting.discard(name)
        clock.pass_(0.05)
        boxes.done(name, 0.05)
        used[name] += 1
    assert used["first"] == 2000
    assert used["b"] / used["a"] == pytest.approx(4, rel=0.05)


def test_a_newcomer_has_no_credit_from_before_it_came() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    cameras = {"old": (1.0, 0.05, 0), "new": (1.0, 0.05, 0)}
    used = simulate(boxes, clock, cameras, seconds=400, from_s={"new": 200.0})
    assert used["new"] == pytest.approx(100, rel=0.05)
    assert used["old"] == pytest.approx(300, rel=0.05)


def test_who_was_away_does_not_save_up_turns() -> None:
    clock = FakeClock()
    boxes = mailboxes(clock)
    both = {"a": (1.0, 0.05, 0), "b": (1.0, 0.05, 0)}
    simulate(boxes, clock, both, seconds=10)
    clock.pass_(3)
    boxes.expire()
    simulate(boxes, clock, {"a": both["a"]}, seconds=100)
    used = simulate(boxes, clock, both, seconds=20)
    assert used["b"] == pytest.approx(10, rel=0.1)


def test_a_camera_with_several_frames_under_way_gets_no_turns_for_free() -> None:
    boxes = mailboxes()
    for name in "ab":  # both have a known cost
        boxes.offer(frame(name))
        taken(boxes)
        boxes.done(name, 0.1)
    turns = []
    for _ in range(6):
        for name in "ab":
            boxes.offer(frame(name))
        turns.append(taken(boxes))  # nothing is charged yet
    assert sorted(turns) == list("aaabbb")


def test_a_camera_has_no_more_than_its_part_under_way_and_others_do_not_wait_for_it() -> None:
    boxes = mailboxes()
    boxes.offer(frame("noisy"), most=1)
    assert taken(boxes) == "noisy"
    boxes.offer(frame("noisy"), most=1)
    thread, got = taking(boxes, lambda: 3)
    thread.join(0.05)
    assert got == []  # there is room, but not for it
    boxes.offer(frame("quiet"), most=1)
    thread.join(10)
    assert [one.camera for one in got if one] == ["quiet"]
    boxes.done("noisy", 0.01)
    assert taken(boxes) == "noisy"


def test_one_large_picture_at_a_time_is_under_way_and_others_do_not_wait_for_it() -> None:
    boxes = mailboxes()
    for camera in ("a", "b"):
        boxes.offer(large_frame(camera))
    assert taken(boxes) == "a"
    thread, got = taking(boxes, lambda: 3)
    thread.join(0.05)
    assert got == []
    boxes.offer(frame("small"))
    thread.join(10)
    assert [one.camera for one in got if one] == ["small"]
    boxes.done("small", 0.01)
    thread, got = taking(boxes, lambda: 3)
    thread.join(0.05)
    assert got == []  # another one is done, and the large one is not
    boxes.close()
    thread.join(10)


def test_the_next_large_picture_has_its_turn_when_one_is_done() -> None:
    boxes = mailboxes()
    for camera in ("a", "b"):
        boxes.offer(large_frame(camera))
    assert taken(boxes) == "a"
    boxes.done("a", 0.5, large=True)
    assert taken(boxes) == "b"


def test_a_forgotten_camera_still_gets_its_waiting_frame_served() -> None:
    boxes = mailboxes()
    boxes.offer(frame("a"))
    boxes.keep(())
    assert taken(boxes) == "a"
    boxes.keep(())
    boxes.done("a", 0.1)
    boxes.done("nobody", 0.1)
    boxes.keep(())
    boxes.done("a", 0.1)  # nothing is left of it that could be charged
    assert len(boxes) == 0


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

    def expire() -> None:
        for lost, reason in boxes.expire():
            assert reason is SkipReason.EXPIRED
            assert clock() - lost.received_s > 2.0
            left(lost.frame_id)

    for camera, side, take, seconds in steps:
        one = frame(camera, data=jpeg(side, side, side), at_s=clock())
        inside.add(int(one.frame_id))
        for lost, _ in boxes.offer(one):
            left(lost.frame_id)
        assert len(boxes) == len(inside) <= 3
        assert boxes.bytes <= 30_000
        clock.pass_(seconds)
        expire()
        if take and len(boxes):
            served = boxes.take(lambda: 1)
            assert served is not None
            assert clock() - served.received_s <= 2.0
            left(served.frame_id)
            boxes.done(served.camera, seconds)
    clock.pass_(3)
    expire()
    assert not inside
    assert boxes.bytes == 0


def test_cameras_that_come_and_go_leave_nothing() -> None:
    boxes = mailboxes()
    for number in range(100):
        boxes.offer(frame(f"camera-{number}"))
        boxes.done(taken(boxes) or "", 0.1)
        boxes.keep(("camera-0",))
    assert list(boxes._accounts) == ["camera-0"]
