"""At most one waiting frame for each camera, the newest one; and the order in which cameras are served."""

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


def make_mailboxes(clock: FakeClock | None = None, **bounds: Any) -> Mailboxes:
    return Mailboxes(
        **({"max_cameras": 100, "max_bytes": 10**9, "max_age_s": 2.0} | bounds), clock=clock or FakeClock()
    )


def large_frame(camera: str) -> Frame:
    small = frame(camera)
    return replace(small, picture=replace(small.picture, held_bytes=LARGE_BYTES + 1))


def take(mailboxes: Mailboxes) -> str:
    """Take the next frame; return its camera."""
    taken = mailboxes.take(lambda: 1000)
    assert taken is not None
    return taken.camera


def test_the_newest_frame_replaces_the_waiting_one() -> None:
    mailboxes = make_mailboxes()
    old, new = frame(), frame()
    assert mailboxes.offer(old) == []
    assert mailboxes.offer(new) == [(old, SkipReason.SUPERSEDED)]
    assert len(mailboxes) == 1
    assert mailboxes.bytes == len(new.picture.data)
    assert mailboxes.take(lambda: 1) is new
    assert mailboxes.bytes == 0


def test_frames_of_a_camera_that_keeps_to_its_limits_wait_in_a_line_and_leave_it_in_order() -> None:
    mailboxes = make_mailboxes()
    line = [frame(at_s=1000.0 + number) for number in range(5)]
    for one in line[:4]:
        assert mailboxes.offer(one, places=4) == []
    assert mailboxes.offer(line[4], places=4) == [(line[0], SkipReason.SUPERSEDED)]
    assert mailboxes.holds_newer(line[0])
    assert [mailboxes.take(lambda: 9) for _ in range(4)] == line[1:]
    assert mailboxes.bytes == 0


def test_the_line_of_a_camera_that_floods_is_replaced_by_its_newest_frame() -> None:
    mailboxes = make_mailboxes()
    line = [frame(at_s=1000.0 + number) for number in range(4)]
    for one in line[:3]:
        mailboxes.offer(one, places=4)
    assert [lost for lost, _ in mailboxes.offer(line[3])] == line[:3]
    assert len(mailboxes) == 1


def test_a_line_takes_no_place_from_another_camera() -> None:
    mailboxes = make_mailboxes(max_cameras=3)
    line = [frame("a", at_s=1000.0 + number) for number in range(4)]
    for one in line[:3]:
        assert mailboxes.offer(one, places=4) == []
    assert [lost for lost, _ in mailboxes.offer(line[3], places=4)] == line[:3]  # no more than three altogether
    assert mailboxes.offer(frame("a", at_s=1004.0), places=4) == []
    assert mailboxes.offer(frame("a", at_s=1005.0), places=4) == []
    assert [mailboxes.offer(frame(name)) for name in "bc"] == [[], []]
    late = frame("d")
    assert mailboxes.offer(late) == [(late, SkipReason.OVERLOADED)]
    mailboxes.close()
    assert not mailboxes._lines


def test_lines_use_at_most_half_of_the_memory() -> None:
    data = jpeg(1, 640, 480)
    mailboxes = make_mailboxes(max_bytes=4 * len(data) + 10)
    for _ in range(2):
        assert mailboxes.offer(frame("a", data=data), places=4) == []
    assert len(mailboxes.offer(frame("a", data=data), places=4)) == 2
    assert len(mailboxes) == 1


def test_the_idle_time_of_the_engine_and_the_time_it_worked_are_measured() -> None:
    clock = FakeClock()
    mailboxes = make_mailboxes(clock)
    assert mailboxes.take_usage(2) is None
    mailboxes.offer(frame("a", at_s=clock()))
    take(mailboxes)
    clock.pass_(1.0)
    mailboxes.done("a", 0.8)
    clock.pass_(1.0)
    used = mailboxes.take_usage(2)
    assert used is not None
    assert used.idle == pytest.approx(0.75)
    assert used.spent == pytest.approx(0.2)


def test_frames_in_separate_lanes_wait_side_by_side_and_share_one_turn() -> None:
    mailboxes = make_mailboxes()
    lanes = [replace(frame("nvr"), lane=lane) for lane in (1, 2, 3)]
    for one in (*lanes, frame("gate"), frame("yard")):
        assert mailboxes.offer(one) == []
    order = []
    while len(mailboxes):
        order.append(take(mailboxes))
        mailboxes.done(order[-1], 1.0)
    assert sorted(order[:3]) == ["gate", "nvr", "yard"]
    assert order[3:] == ["nvr", "nvr"]


def test_a_frame_that_waited_too_long_expires_and_is_not_served() -> None:
    clock = FakeClock()
    mailboxes = make_mailboxes(clock)
    old = frame("a", at_s=clock())
    mailboxes.offer(old)
    clock.pass_(2.001)
    young = frame("b", at_s=clock())
    mailboxes.offer(young)
    assert mailboxes.take(lambda: 1) is young
    assert mailboxes.expire() == [(old, SkipReason.EXPIRED)]
    assert len(mailboxes) == 0
    assert mailboxes.expire() == []


def take_in_thread(mailboxes: Mailboxes, most: Callable[[], int]) -> tuple[threading.Thread, list[Frame | None]]:
    """A thread that takes one frame, and a list that then contains the result of `take`."""
    got: list[Frame | None] = []
    thread = threading.Thread(target=lambda: got.append(mailboxes.take(most)), daemon=True)
    thread.start()
    return thread, got


def test_a_waiting_worker_gets_the_next_offered_frame() -> None:
    mailboxes = make_mailboxes()
    thread, got = take_in_thread(mailboxes, lambda: 1)
    one = frame()
    mailboxes.offer(one)
    thread.join(10)
    assert got == [one]
    assert mailboxes.in_flight == 1


def test_at_most_the_permitted_number_of_frames_is_in_flight() -> None:
    most = [1]
    mailboxes = make_mailboxes()
    first, second = frame("a"), frame("b")
    mailboxes.offer(first)
    mailboxes.offer(second)
    assert mailboxes.take(lambda: most[0]) is first
    thread, got = take_in_thread(mailboxes, lambda: most[0])
    thread.join(0.05)
    assert got == []
    most[0] = 2
    mailboxes.wake()
    thread.join(10)
    assert got == [second]


def test_closing_releases_waiting_workers_and_later_ones() -> None:
    mailboxes = make_mailboxes()
    waiting = [take_in_thread(mailboxes, lambda: 1) for _ in range(3)]
    mailboxes.close()
    for thread, got in waiting:
        thread.join(10)
        assert got == [None]
    assert mailboxes.take(lambda: 1) is None


def test_at_the_limit_of_waiting_cameras_another_camera_is_refused_but_not_a_waiting_one() -> None:
    mailboxes = make_mailboxes(max_cameras=2)
    mailboxes.offer(frame("a"))
    mailboxes.offer(frame("b"))
    late = frame("c")
    assert mailboxes.offer(late) == [(late, SkipReason.OVERLOADED)]
    (lost,) = mailboxes.offer(frame("a"))
    assert lost[1] is SkipReason.SUPERSEDED


def test_at_the_limit_of_waiting_bytes_the_next_frame_is_refused_and_the_waiting_one_kept() -> None:
    data = jpeg(1, 640, 480)
    mailboxes = make_mailboxes(max_bytes=2 * len(data) + 10)
    mailboxes.offer(frame("a", data=data))
    mailboxes.offer(frame("b", data=data))
    late = frame("c", data=data)
    assert mailboxes.offer(late) == [(late, SkipReason.OVERLOADED)]
    larger = frame("a", data=data + bytes(100))
    assert mailboxes.offer(larger) == [(larger, SkipReason.OVERLOADED)]
    assert len(mailboxes) == 2
    (lost,) = mailboxes.offer(frame("a", data=data))
    assert lost[1] is SkipReason.SUPERSEDED


def test_a_camera_of_higher_priority_always_goes_first() -> None:
    mailboxes = make_mailboxes()
    for _ in range(5):
        mailboxes.offer(frame("low"))
        mailboxes.offer(frame("high"), priority=5)
        assert take(mailboxes) == "high"
        mailboxes.done("high", 10.0)
    assert take(mailboxes) == "low"


def test_closing_empties_every_mailbox() -> None:
    mailboxes = make_mailboxes()
    for name in "abc":
        mailboxes.offer(frame(name))
    mailboxes.close()
    assert (len(mailboxes), mailboxes.bytes) == (0, 0)


def simulate(
    mailboxes: Mailboxes,
    clock: FakeClock,
    cameras: dict[str, tuple[float, float, int]],
    *,
    slots: int = 1,
    seconds: float = 600.0,
    from_s: dict[str, float] | None = None,
) -> Counter[str]:
    """Engine time of each camera, s, while each always has a frame waiting. `cameras`: (weight, cost_s, priority)."""
    start_s = clock()
    used: Counter[str] = Counter()
    running: list[tuple[float, str]] = []
    waiting: set[str] = set()
    while clock() - start_s < seconds:
        for name, (weight, _, priority) in cameras.items():
            if name not in waiting and clock() - start_s >= (from_s or {}).get(name, 0.0):
                mailboxes.offer(frame(name, seed=1, at_s=clock()), weight=weight, priority=priority)
                waiting.add(name)
        while len(running) < slots and len(mailboxes):
            name = take(mailboxes)
            waiting.remove(name)
            heapq.heappush(running, (clock() + cameras[name][1], name))
        done_s, name = heapq.heappop(running)
        clock.pass_(done_s - clock())
        mailboxes.done(name, cameras[name][1])
        used[name] += cameras[name][1]  # type: ignore[assignment]  # seconds, counted in fractions
    return used


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("costs", [(0.05, 0.05, 0.05), (0.02, 0.05, 0.08), (0.15, 0.05, 0.03)])
def test_engine_time_is_proportional_to_weight(slots: int, costs: tuple[float, float, float]) -> None:
    clock = FakeClock()
    cameras = {name: (float(2**n), cost, 0) for n, (name, cost) in enumerate(zip("abc", costs, strict=True))}
    if slots == 4:
        cameras |= dict.fromkeys("defghijk", (1.0, 0.05, 0))  # otherwise each camera has its own slot
    used = simulate(make_mailboxes(clock), clock, cameras, slots=slots, seconds=300)
    unit = used["a"]
    if slots < 2:
        assert used["b"] / unit == pytest.approx(2, rel=0.05)
        assert used["c"] / unit == pytest.approx(4, rel=0.05)
    elif slots == 4:
        assert used["b"] / unit == pytest.approx(2, rel=0.05)
        assert used["d"] / unit == pytest.approx(1, rel=0.05)
    else:
        # c is always in one of the two slots, because its share is more than half; a and b share the other by weight.
        assert used["b"] / unit == pytest.approx(2, rel=0.1)


def test_lower_priorities_share_by_weight_while_a_higher_one_is_served() -> None:
    clock = FakeClock()
    mailboxes = make_mailboxes(clock)
    used: Counter[str] = Counter()
    waiting: set[str] = set()
    for number in range(4000):
        if number % 2 == 0:
            mailboxes.offer(frame("first", seed=1, at_s=clock()), priority=9)
        for name, weight in (("a", 1.0), ("b", 4.0)):
            if name not in waiting:
                mailboxes.offer(frame(name, seed=1, at_s=clock()), weight=weight)
                waiting.add(name)
        name = take(mailboxes)
        waiting.discard(name)
        clock.pass_(0.05)
        mailboxes.done(name, 0.05)
        used[name] += 1
    assert used["first"] == 2000
    assert used["b"] / used["a"] == pytest.approx(4, rel=0.05)


def test_a_new_camera_has_no_credit_for_the_time_before_it_joined() -> None:
    clock = FakeClock()
    mailboxes = make_mailboxes(clock)
    cameras = {"old": (1.0, 0.05, 0), "new": (1.0, 0.05, 0)}
    used = simulate(mailboxes, clock, cameras, seconds=400, from_s={"new": 200.0})
    assert used["new"] == pytest.approx(100, rel=0.05)
    assert used["old"] == pytest.approx(300, rel=0.05)


def test_a_camera_that_pauses_saves_up_no_turns() -> None:
    clock = FakeClock()
    mailboxes = make_mailboxes(clock)
    both = {"a": (1.0, 0.05, 0), "b": (1.0, 0.05, 0)}
    simulate(mailboxes, clock, both, seconds=10)
    clock.pass_(3)
    mailboxes.expire()
    simulate(mailboxes, clock, {"a": both["a"]}, seconds=100)
    used = simulate(mailboxes, clock, both, seconds=20)
    assert used["b"] == pytest.approx(10, rel=0.1)


def test_frames_in_flight_count_before_their_cost_is_known() -> None:
    mailboxes = make_mailboxes()
    for name in "ab":  # both have a known cost
        mailboxes.offer(frame(name))
        take(mailboxes)
        mailboxes.done(name, 0.1)
    turns = []
    for _ in range(6):
        for name in "ab":
            mailboxes.offer(frame(name))
        turns.append(take(mailboxes))  # no cost is charged yet
    assert sorted(turns) == list("aaabbb")


def test_a_camera_at_its_limit_of_frames_in_flight_does_not_delay_the_others() -> None:
    mailboxes = make_mailboxes()
    mailboxes.offer(frame("noisy"), most=1)
    assert take(mailboxes) == "noisy"
    mailboxes.offer(frame("noisy"), most=1)
    thread, got = take_in_thread(mailboxes, lambda: 3)
    thread.join(0.05)
    assert got == []  # a slot is free, but not for this camera
    mailboxes.offer(frame("quiet"), most=1)
    thread.join(10)
    assert [one.camera for one in got if one] == ["quiet"]
    mailboxes.done("noisy", 0.01)
    assert take(mailboxes) == "noisy"


def test_one_large_picture_at_a_time_is_in_flight_and_small_ones_do_not_wait_for_it() -> None:
    mailboxes = make_mailboxes()
    for camera in ("a", "b"):
        mailboxes.offer(large_frame(camera))
    assert take(mailboxes) == "a"
    thread, got = take_in_thread(mailboxes, lambda: 3)
    thread.join(0.05)
    assert got == []
    mailboxes.offer(frame("small"))
    thread.join(10)
    assert [one.camera for one in got if one] == ["small"]
    mailboxes.done("small", 0.01)
    thread, got = take_in_thread(mailboxes, lambda: 3)
    thread.join(0.05)
    assert got == []  # the small one is done, but not the large one
    mailboxes.close()
    thread.join(10)


def test_the_next_large_picture_is_served_when_the_first_is_done() -> None:
    mailboxes = make_mailboxes()
    for camera in ("a", "b"):
        mailboxes.offer(large_frame(camera))
    assert take(mailboxes) == "a"
    mailboxes.done("a", 0.5, large=True)
    assert take(mailboxes) == "b"


def test_the_waiting_frame_of_a_forgotten_camera_is_still_served() -> None:
    mailboxes = make_mailboxes()
    mailboxes.offer(frame("a"))
    mailboxes.keep(())
    assert take(mailboxes) == "a"
    mailboxes.keep(())
    mailboxes.done("a", 0.1)
    mailboxes.done("nobody", 0.1)
    mailboxes.keep(())
    mailboxes.done("a", 0.1)  # its account is gone; there is nothing to charge
    assert len(mailboxes) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from([8, 64, 200]), st.booleans(), st.floats(0, 1.5)),
        max_size=60,
    )
)
def test_every_frame_leaves_exactly_once_and_the_limits_hold(steps: list[tuple[str, int, bool, float]]) -> None:
    clock = FakeClock()
    mailboxes = make_mailboxes(clock, max_cameras=3, max_bytes=30_000)
    waiting: set[int] = set()

    def left(number: object) -> None:
        assert isinstance(number, int)
        waiting.remove(number)

    def expire() -> None:
        for lost, reason in mailboxes.expire():
            assert reason is SkipReason.EXPIRED
            assert clock() - lost.received_s > 2.0
            left(lost.frame_id)

    for camera, side, take, seconds in steps:
        one = frame(camera, data=jpeg(side, side, side), at_s=clock())
        waiting.add(int(one.frame_id))
        for lost, _ in mailboxes.offer(one):
            left(lost.frame_id)
        assert len(mailboxes) == len(waiting) <= 3
        assert mailboxes.bytes <= 30_000
        clock.pass_(seconds)
        expire()
        if take and len(mailboxes):
            served = mailboxes.take(lambda: 1)
            assert served is not None
            assert clock() - served.received_s <= 2.0
            left(served.frame_id)
            mailboxes.done(served.camera, seconds)
    clock.pass_(3)
    expire()
    assert not waiting
    assert mailboxes.bytes == 0


def test_cameras_that_come_and_go_leave_no_accounts() -> None:
    mailboxes = make_mailboxes()
    for number in range(100):
        mailboxes.offer(frame(f"camera-{number}"))
        mailboxes.done(take(mailboxes) or "", 0.1)
        mailboxes.keep(("camera-0",))
    assert list(mailboxes._accounts) == ["camera-0"]
