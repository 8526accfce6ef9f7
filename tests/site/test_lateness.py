"""Lateness without a common clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.site.lateness import Lateness


@given(st.lists(st.floats(0, 100), min_size=1), st.integers(-1_000_000, 1_000_000))
def test_lateness_does_not_depend_on_the_clocks(delays: list[float], offset: int) -> None:
    one, other, now = Lateness(12.001), Lateness(12.001), 1000.0
    for delay in map(round, delays):
        now += 1
        assert one.is_late(("box",), now - delay, now) == other.is_late(("box",), now - delay + offset, now)


def test_what_a_hanging_server_held_is_late_and_what_comes_after_it_is_not() -> None:
    lateness, now = Lateness(12), 1000.0
    assert not lateness.is_late(("box",), now, now)
    now += 300
    held = [lateness.is_late(("box",), now - age, now) for age in range(300, 0, -1)]
    assert held == [True] * 288 + [False] * 12
    assert not lateness.is_late(("box",), now, now)
    assert lateness.is_late(("box",), now - 20, now)


@given(st.floats(13, 1e6), st.floats(0.2, 5))
def test_a_sender_whose_clock_was_set_back_is_on_time_again_after_half_a_minute(back_s: float, every_s: float) -> None:
    lateness, now, begun = Lateness(12), 1000.0, 1000.0
    assert not lateness.is_late(("box",), now, now)
    while now < begun + 120:
        now += every_s
        late = lateness.is_late(("box",), now - back_s, now)
        assert late or now >= begun + 30
        assert not late or now < begun + 30 + 2 * every_s
    assert lateness.is_late(("box",), now - back_s - 20, now)  # and a late one is late


def test_only_so_many_senders_are_remembered_and_those_that_speak_are() -> None:
    lateness = Lateness(12)
    assert not lateness.is_late(("box",), 0.0, 0.0)
    for number in range(10_000):
        assert not lateness.is_late((f"invented {number}",), 0.0, 1.0)
        assert not lateness.is_late(("box",), 1.0, 1.0)
    assert len(lateness) == 400
    assert lateness.is_late(("box",), 1.0, 21.0)
