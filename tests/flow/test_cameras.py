"""The record of each camera: its rate limit, rates and counters, and when it is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.rates import FrameRateLimiter, Rate
from appliance.values import CameraLimits, Detected, Failed, Size, Skipped, SkipReason, Timing


@given(
    st.integers(1, 5), st.floats(0.01, 10), st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=100)
)
def test_at_most_the_burst_and_one_frame_per_interval_are_accepted(
    burst: int, interval_s: float, gaps_s: list[float]
) -> None:
    limiter = FrameRateLimiter(burst)
    now_s, times = 50.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if limiter.take(now_s, interval_s) == 0.0:
            times.append(now_s)
    for first in range(len(times)):
        for last in range(first, len(times)):
            passed_s = times[last] - times[first]
            assert last - first + 1 <= burst + passed_s / interval_s + 1e-6


@given(st.integers(1, 5), st.floats(0.01, 10), st.lists(st.floats(0, 5), max_size=50))
def test_a_frame_after_the_returned_waiting_time_is_accepted(
    burst: int, interval_s: float, gaps_s: list[float]
) -> None:
    limiter = FrameRateLimiter(burst)
    now_s = 50.0
    for gap_s in gaps_s:
        now_s += gap_s
        foretold_s = limiter.wait_s(now_s, interval_s)
        wait_s = limiter.take(now_s, interval_s)
        assert wait_s == foretold_s
        assert 0 <= wait_s <= interval_s + 1e-9
        if wait_s:
            now_s += wait_s + 1e-6
            assert limiter.take(now_s, interval_s) == 0.0


@given(st.integers(1, 5), st.floats(0.01, 10), st.integers(1, 200))
def test_a_steady_camera_that_keeps_the_interval_is_never_refused(burst: int, interval_s: float, frames: int) -> None:
    limiter = FrameRateLimiter(burst)
    assert all(limiter.take(7.0 + n * interval_s, interval_s) == 0.0 for n in range(frames))


def test_without_an_interval_every_frame_is_accepted() -> None:
    limiter = FrameRateLimiter(1)
    assert all(limiter.take(1.0, 0.0) == 0.0 for _ in range(100))


@given(st.floats(0.01, 2.0), st.floats(0, 10_000))
def test_a_steady_rate_is_measured_correctly(period_s: float, start_s: float) -> None:
    rate = Rate()
    now_s = start_s
    for n in range(int(20 / period_s)):
        now_s = start_s + n * period_s
        rate.tick(now_s)
    assert rate.per_second(now_s) == pytest.approx(1 / period_s, rel=0.1, abs=0.45)


@given(st.lists(st.tuples(st.floats(0, 12), st.integers(0, 50)), max_size=60))
def test_a_rate_is_never_negative_and_returns_to_zero(ticks: list[tuple[float, int]]) -> None:
    rate = Rate()
    now_s = 1000.0
    for gap_s, events in ticks:
        now_s += gap_s
        rate.tick(now_s, events)
        assert rate.per_second(now_s) >= 0
    assert rate.per_second(now_s + 10.1) == 0


def test_each_outcome_has_its_counter() -> None:
    camera = CameraBook(policies={}, burst=3).enter("gate")
    timing = Timing(1, 2, 3, 40)
    found = Detected((), Size(1, 1), Size(32, 32), "fake", timing)
    camera.arrived(100.0)
    camera.outcome(found, 100.0)
    camera.outcome(Detected((), Size(1, 1), Size(32, 32), "fake", timing, "exact"), 100.0)
    camera.outcome(Failed("image_corrupt", "damaged"), 100.0)
    camera.outcome(Skipped(SkipReason.EXPIRED, 0), 100.0)
    camera.outcome(Skipped(SkipReason.EXPIRED, 0), 100.0)
    stats = camera.stats(101.0, CameraLimits(0, 640, 80, "normal"))
    assert (stats.received, stats.answered, stats.cached, stats.failed) == (1, 2, 1, 1)
    assert stats.skipped == {"expired": 2}
    assert stats.latency_ms == 40


def test_a_configured_camera_has_its_own_settings_and_others_have_the_defaults() -> None:
    book = CameraBook(policies={"gate": CameraPolicy(weight=4, priority=2)}, burst=3)
    assert book.enter("gate").policy.weight == 4
    assert book.enter("yard").policy == CameraPolicy()


def test_a_camera_is_known_until_its_last_connection_ends() -> None:
    book = CameraBook(policies={}, burst=3)
    book.enter("gate").connections = 2
    book.leave("gate")
    assert book.get("gate") is not None
    book.leave("gate")
    assert book.get("gate") is None
    book.leave("gate")


def test_a_camera_without_a_connection_is_forgotten_after_a_minute_of_silence() -> None:
    book = CameraBook(policies={}, burst=3)
    book.enter("http-1").arrived(100.0)
    connected = book.enter("gate")
    connected.arrived(100.0)
    connected.connections = 1
    book.forget_silent(160.0)
    assert "http-1" in book
    book.forget_silent(160.1)
    assert "http-1" not in book
    assert [name for name, _ in book] == ["gate"]


def test_the_number_of_cameras_is_limited_and_connected_ones_stay() -> None:
    book = CameraBook(policies={}, burst=3, most=10)
    book.enter("gate").connections = 1
    for number in range(100):
        book.enter(f"loose-{number}")
    assert len(list(book)) == 10
    assert book.get("gate") is not None
    assert book.get("loose-99") is not None
