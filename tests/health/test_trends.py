"""Trends: the last minute's counts, a hung engine, a sensor that worked before."""

from __future__ import annotations

from appliance.health.trends import Counts, Trends


def test_counts_cover_only_the_last_minute() -> None:
    trends = Trends()
    for second in range(200):
        flood = min(second, 100) * 10
        trends.note(
            Counts(second, received=flood, rate_limited=flood // 2, overloaded=flood // 5, results_dropped=second), 50
        )
        recent = trends.recent()
        if second == 100:
            assert (recent.received, recent.rate_limited, recent.overloaded) == (600, 300, 120)
        assert recent.results_dropped == min(second, 60)
    assert (recent.received, recent.overloaded) == (0, 0)
    assert len(trends._minute) <= 62


def test_without_samples_all_counts_are_zero() -> None:
    recent = Trends().recent()
    assert (recent.received, recent.engine_still_s, recent.temp_seen) == (0, 0.0, False)


def test_the_engine_is_still_while_frames_are_in_flight_and_none_returns() -> None:
    trends = Trends()

    def still_s(at_s: float, in_flight: int, returned: int) -> float:
        trends.note(Counts(at_s, in_flight=in_flight, returned=returned), None)
        return trends.recent().engine_still_s

    assert still_s(100, 1, 0) == 0, "the time before the first sample is unknown"
    assert still_s(109, 2, 0) == 9
    assert still_s(110, 2, 1) == 0
    assert still_s(130, 2, 1) == 20
    assert still_s(131, 0, 3) == 0
    assert still_s(500, 1, 3) == 0, "idle is not stuck"
    assert still_s(501, 1, 3) == 1


def test_a_temperature_that_was_read_once_is_remembered() -> None:
    trends = Trends()
    trends.note(Counts(0), None)
    assert not trends.recent().temp_seen
    trends.note(Counts(1), 51.0)
    trends.note(Counts(2), None)
    assert trends.recent().temp_seen
