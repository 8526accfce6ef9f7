"""The limits of cameras: a share on joining, and an update only if it changes noticeably."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.capacity import MOST
from appliance.flow.obedience import HEARD_S
from appliance.flow.pace import Pace
from appliance.values import CameraLimits, Limits
from tests.fakes import FakeClock

FULL = Limits(640, 0.0, 8)
REFUSED_S = 5.0


class Site:
    """Cameras, and the limits that are announced to them, with a fake clock."""

    def __init__(self, limits: Limits = FULL, **policies: CameraPolicy) -> None:
        self.clock = FakeClock()
        self.book = CameraBook(policies=policies, burst=3)
        self.announced: list[tuple[str, CameraLimits]] = []
        self.pace = Pace(
            self.book,
            limits=limits,
            announce=lambda name, limits: self.announced.append((name, limits)),
            jpeg_quality=80,
            clock=self.clock,
            refused_interval_s=REFUSED_S,
        )

    def arrive(self, *names: str) -> None:
        for name in names:
            self.book.enter(name).arrived(self.clock())

    def interval(self, name: str) -> float:
        camera = self.book.get(name)
        assert camera is not None
        assert camera.announced is not None
        return camera.announced.min_interval_s


def alone_s(cost_s: float) -> float:
    """The interval of a single camera."""
    site = Site()
    site.pace.learn(1, cost_s)
    return site.pace.join("gate").min_interval_s


def test_a_single_camera_gets_the_whole_capacity() -> None:
    site = Site()
    site.pace.learn(2, 0.1)
    limits = site.pace.join("gate")
    assert 0.1 / 2 / MOST <= limits.min_interval_s <= 0.1 / 2 / 0.2
    assert (limits.max_side, limits.jpeg_quality, limits.reason) == (640, 80, "fair_share")
    assert site.announced == []  # the greeting contains them


def test_sending_cameras_share_by_weight() -> None:
    site = Site(heavy=CameraPolicy(weight=4.0))
    site.pace.learn(1, 0.1)
    for name in ("heavy", "light"):
        site.pace.join(name)
    site.arrive("heavy", "light")
    site.pace.update()
    assert site.interval("light") / site.interval("heavy") == pytest.approx(4, rel=0.2)


def test_each_sending_camera_gets_its_share_of_the_frames_in_flight_rounded_up() -> None:
    site = Site(c=CameraPolicy(weight=4), b=CameraPolicy(weight=2), first=CameraPolicy(priority=1))
    site.pace.learn(2, 0.05)  # two slots: three frames in flight

    def shares(*names: str) -> list[int]:
        site.clock.pass_(6)  # cameras that sent before now count as silent
        site.arrive(*names)
        site.pace.update()
        return [site.book.enter(name).most_in_flight for name in names]

    assert shares("a") == [3]
    assert shares("a", "x") == [2, 2]
    assert shares(*"defghijk") == [1] * 8
    assert shares("a", "b", "c") == [1, 1, 2]
    assert shares("a", "x", "first") == [1, 1, 3]  # no camera has a higher priority


def test_the_share_of_a_silent_camera_goes_to_the_others() -> None:
    site = Site()
    site.pace.learn(1, 0.1)
    for name in ("a", "b"):
        site.pace.join(name)
    site.arrive("a", "b")
    site.pace.update()
    shared = site.interval("a")
    for _ in range(10):
        site.clock.pass_(1.0)
        site.arrive("a")
        site.pace.update()
    assert site.interval("a") < shared * 0.6


def test_the_self_test_takes_no_share() -> None:
    site = Site()
    site.pace.learn(1, 0.1)
    site.arrive("_canary")
    with_canary = site.pace.join("gate").min_interval_s
    assert with_canary == alone_s(0.1)


def test_new_limits_are_announced_once_to_each_camera_with_the_reason() -> None:
    site = Site(Limits(640, 5.0, 8))
    for name in ("a", "b"):
        site.pace.join(name)
    site.pace.apply(Limits(320, 10.0, 1, reason="temperature"))
    for _ in range(3):
        site.pace.update()
    assert sorted(name for name, _ in site.announced) == ["a", "b"]
    sent = {(limits.max_side, limits.min_interval_s, limits.reason) for _, limits in site.announced}
    assert sent == {(320, 10.0, "temperature")}


def test_a_change_of_the_reason_alone_is_not_announced() -> None:
    site = Site(Limits(640, 5.0, 8))
    site.pace.join("a")
    site.pace.apply(Limits(640, 5.0, 8, reason="memory"))
    assert site.announced == []


def test_a_problem_that_has_ended_is_no_longer_given_as_the_reason() -> None:
    site = Site(replace(FULL, reason="memory", max_side=512))
    site.pace.learn(1, 0.1)
    site.arrive("gate")
    assert site.pace.join("gate").reason == "memory"
    site.pace.apply(replace(FULL, max_side=512))
    site.pace.update()
    assert [(name, limits.reason) for name, limits in site.announced] == [("gate", "fair_share")]
    assert site.pace.stats()["gate"].limits.reason == "fair_share"


def test_frames_that_were_due_by_the_former_interval_are_admitted_until_the_camera_has_heard() -> None:
    site = Site()
    site.pace.learn(1, 0.1)
    former_s = site.pace.join("gate").min_interval_s
    camera = site.book.enter("gate")
    site.clock.pass_(10)
    site.pace.apply(replace(FULL, duty=0.1, reason="temperature"))
    site.arrive("gate")
    site.pace.update()
    assert site.interval("gate") > 5 * former_s
    assert site.pace.enforced_interval(camera) <= former_s
    site.clock.pass_(HEARD_S)
    assert site.pace.enforced_interval(camera) > 5 * former_s


def test_the_others_learn_at_once_that_a_camera_joined_and_it_gets_nothing_before_its_greeting() -> None:
    site = Site()
    site.pace.learn(1, 0.1)
    site.pace.join("a")
    alone = site.interval("a")
    site.clock.pass_(1)
    site.arrive("a")
    shared = site.pace.join("b").min_interval_s
    assert [name for name, _ in site.announced] == ["a"]
    assert site.interval("a") > 1.5 * alone
    assert shared == site.interval("b")


def test_half_the_duty_halves_the_frame_rate_and_removes_the_slack() -> None:
    site = Site()
    site.pace.learn(1, 0.1)
    site.pace.join("gate")
    for _ in range(20):
        site.arrive("gate")
        site.pace.refused()  # the camera sends far too often
        site.pace.update()
    full_s = site.interval("gate")
    camera = site.book.enter("gate")
    assert site.pace.slack > 1
    site.pace.apply(replace(FULL, duty=0.5))
    for _ in range(3):
        site.arrive("gate")
        site.pace.refused()
        site.pace.update()
    assert site.interval("gate") == pytest.approx(2 * full_s, rel=0.2)
    assert site.pace.slack == 1
    site.clock.pass_(HEARD_S)
    assert site.pace.enforced_interval(camera) > full_s


def hot_hour(site: Site, gap_s: float) -> int:
    """An hour at a duty that falls and rises slowly, with a camera that sends so often; how many limits it is sent."""
    site.pace.learn(1, 0.1)
    site.pace.join("gate")
    start_s, due_s = site.clock(), 0.0
    for second in range(3600):
        while due_s < second + 1:
            site.clock.pass_(start_s + due_s - site.clock())
            site.arrive("gate")
            due_s += gap_s
        site.pace.apply(replace(FULL, duty=0.55 + 0.15 * math.sin(second / 300)))
    return len(site.announced)


def test_a_camera_that_sends_less_than_it_may_hears_of_no_change() -> None:
    greedy, slow = Site(), Site()
    assert 2 <= hot_hour(greedy, 0.1) <= 16
    assert hot_hour(slow, 0.9) <= 2


def test_low_priorities_are_refused_only_while_a_higher_one_is_sending() -> None:
    site = Site(first=CameraPolicy(priority=1))
    for name in ("gate", "first"):
        site.pace.join(name)
    site.pace.apply(replace(FULL, lowest_priority=1))
    gate, first = site.book.enter("gate"), site.book.enter("first")

    def admitted() -> list[bool]:
        site.pace.update()
        return [site.pace.admits(gate), site.pace.admits(first)]

    site.arrive("gate", "first")
    assert admitted() == [False, True]
    assert site.interval("gate") == REFUSED_S  # it is asked to send less often
    site.clock.pass_(60)
    site.arrive("gate")
    assert admitted() == [True, True]
    assert site.interval("gate") < REFUSED_S


def test_new_cameras_are_refused_while_those_already_served_continue() -> None:
    site = Site()
    site.pace.join("old")
    old, new = site.book.enter("old"), site.book.enter("new")
    old.answered = 1
    site.pace.apply(replace(FULL, new_cameras=False, reason="memory"))
    assert [site.pace.admits(camera) for camera in (old, new)] == [True, False]
    assert site.pace.join("new").min_interval_s == REFUSED_S
    assert site.pace.join("new").reason == "memory"


def test_the_self_test_is_always_admitted() -> None:
    site = Site()
    site.pace.apply(replace(FULL, admit=False, new_cameras=False, lowest_priority=9))
    assert site.pace.admits(site.book.enter("_canary"))
    assert not site.pace.admits(site.book.enter("gate"))


def test_viewers_take_no_share() -> None:
    site = Site()
    site.pace.learn(1, 0.1)
    for _ in range(10):
        site.pace.preview()
    assert site.pace.join("gate").min_interval_s == alone_s(0.1)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.05, 2), st.floats(0.001, 0.5)), max_size=40),
    st.sampled_from([0.0, 0.7, 3.0]),
)
def test_a_camera_that_obeys_its_limits_is_admitted(steps: list[tuple[str, float, float]], floor_s: float) -> None:
    """The announced interval is never shorter than the enforced one, at any cost of a frame and with any cameras."""
    site = Site(Limits(640, floor_s, 8), b=CameraPolicy(min_interval_s=1.0))
    for name in "abc":
        site.pace.join(name)
    for name, gap_s, cost_s in steps:
        site.clock.pass_(gap_s)
        site.arrive(name)
        site.pace.learn(2, cost_s)
        site.pace.update()
        for other, camera in site.book:
            assert site.pace.enforced_interval(camera) <= site.interval(other) + 1e-9
            assert site.interval(other) >= floor_s
            if other == "b":
                assert site.interval(other) >= 1.0


def test_a_camera_that_joins_while_inference_is_paused_is_asked_to_wait() -> None:
    site = Site(replace(FULL, admit=False, duty=0.0, reason="critical_temperature"))
    assert site.pace.join("gate").min_interval_s == REFUSED_S
    assert site.pace.preview().reason == "critical_temperature"
    site.arrive("gate")
    site.pace.update()


def test_a_camera_that_is_not_admitted_shows_a_picture_now_and_then() -> None:
    site = Site()
    gate = site.book.enter("gate")
    assert not site.pace.may_show(gate)  # its pictures are shown with their results
    site.pace.apply(replace(FULL, admit=False))
    shown = 0
    for _ in range(100):
        site.clock.pass_(0.1)
        shown += site.pace.may_show(gate)
    assert 2 <= shown <= 3
