"""Whether a camera keeps to its limits: in the long run, and only to what it can have heard of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.obedience import HEARD_S, Obedience


def camera(interval_s: float = 0.1) -> Obedience:
    found = Obedience()
    found.announce(interval_s, 0.0)
    return found


def send(found: Obedience, from_s: float, gap_s: float, count: int) -> float:
    for number in range(count):
        found.frame(from_s + number * gap_s)
    return from_s + count * gap_s


@given(st.floats(0.01, 20), st.lists(st.floats(0, 0.2), min_size=1, max_size=60))
def test_a_camera_with_a_jittery_network_obeys(interval_s: float, delays_s: list[float]) -> None:
    found = camera(interval_s)
    times_s = sorted(10 + number * interval_s + delay_s for number, delay_s in enumerate(delays_s))
    for at_s in times_s:
        found.frame(at_s)
        assert found.holds(at_s)


@pytest.mark.parametrize("interval_s", [0.02, 0.1, 1.0, 10.0])
def test_a_camera_that_sends_twice_as_often_does_not_obey(interval_s: float) -> None:
    found = camera(interval_s)
    now_s = send(found, 10.0, interval_s / 2, 60)
    assert not found.holds(now_s)


def test_a_camera_that_behaves_again_obeys_after_some_seconds() -> None:
    found = camera()
    now_s = send(found, 10.0, 0.02, 100)
    now_s = send(found, now_s, 0.1, 60)
    assert found.holds(now_s)


def test_a_longer_interval_counts_once_it_can_have_been_heard_of() -> None:
    found = camera(0.1)
    now_s = send(found, 10.0, 0.1, 20)
    found.announce(2.0, now_s)
    now_s = send(found, now_s, 0.1, int(HEARD_S / 0.1) - 1)
    assert found.interval_s(now_s) == 0.1
    assert found.holds(now_s)
    now_s = send(found, now_s + 0.2, 0.1, 20)
    assert found.interval_s(now_s) == 2.0
    assert not found.holds(now_s)


def test_a_shorter_interval_counts_at_once() -> None:
    found = camera(2.0)
    found.announce(0.1, 100.0)
    assert found.interval_s(100.0) == 0.1


def test_a_camera_that_sends_when_it_may_wants_more_and_one_that_sends_rarely_does_not() -> None:
    eager, slow = camera(), camera()
    send(eager, 10.0, 0.105, 20)
    send(slow, 10.0, 1.0, 20)
    assert eager.wants_more
    assert eager.needed_s is None
    assert not slow.wants_more
    assert slow.needed_s == pytest.approx(0.8)


def test_nothing_is_known_of_a_camera_without_limits() -> None:
    found = Obedience()
    send(found, 10.0, 0.001, 100)
    assert found.interval_s(20.0) is None
    assert found.holds(10.1)
    assert found.needed_s is None
