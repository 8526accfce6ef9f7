"""How many frames may be under way: never none, never more than the engine has room for, fewer when it slows down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.concurrency import Concurrency
from appliance.values import Size

SMALL, LARGE = Size(320, 192), Size(640, 384)


def feed(limit: Concurrency, latency_s: float, times: int, point: Size = LARGE) -> int:
    for _ in range(times):
        limit.sample(point, latency_s, limit.limit)
    return limit.limit


@given(
    st.integers(1, 16),
    st.lists(st.tuples(st.sampled_from([SMALL, LARGE]), st.floats(0, 30), st.integers(0, 20)), max_size=100),
)
def test_the_limit_stays_in_its_bounds(most: int, samples: list[tuple[Size, float, int]]) -> None:
    limit = Concurrency(most)
    assert limit.limit == most
    for point, latency_s, in_flight in samples:
        limit.sample(point, latency_s, in_flight)
        assert 1 <= limit.limit <= most


@given(st.integers(1, 16), st.floats(0.001, 5))
def test_a_steady_engine_keeps_all_its_room(most: int, latency_s: float) -> None:
    assert feed(Concurrency(most), latency_s, 200) == most


def test_an_engine_that_slows_down_gets_fewer_frames_and_more_again_when_it_is_itself() -> None:
    limit = Concurrency(8)
    feed(limit, 0.05, 100)
    assert feed(limit, 0.5, 20) < 4
    assert feed(limit, 0.05, 300) == 8


def test_a_larger_input_is_no_congestion() -> None:
    limit = Concurrency(8)
    feed(limit, 0.02, 100, SMALL)
    assert feed(limit, 0.2, 50, LARGE) == 8
