"""The last minute, an engine that stands still, and a sensor that once spoke."""

from __future__ import annotations

from appliance.health.trends import Counts, Trends


def test_it_tells_the_last_minute_and_not_what_came_before() -> None:
    trends = Trends()
    for second in range(200):
        flood = min(second, 100) * 10
        trends.note(
            Counts(second, received=flood, rate_limited=flood // 2, overloaded=flood // 5, results_dropped=second), 50
        )
        lately = trends.lately()
        if second == 100:
            assert (lately.received, lately.rate_limited, lately.overloaded) == (600, 300, 120)
        assert lately.results_dropped == min(second, 60)
    assert (lately.received, lately.overloaded) == (0, 0)
    assert len(trends._minute) <= 62


def test_nothing_noted_is_nothing_told() -> None:
    lately = Trends().lately()
    assert (lately.received, lately.engine_still_s, lately.temp_seen) == (0, 0.0, False)


def test_an_engine_stands_still_from_when_a_frame_was_given_and_none_came_back() -> None:
    trends = Trends()

    def still_s(at_s: float, in_flight: int, returned: int) -> float:
        trends.note(Counts(at_s, in_flight=in_flight, returned=returned), None)
        return trends.lately().engine_still_s

    assert still_s(100, 1, 0) == 0, "what was before the first look is not known"
    assert still_s(109, 2, 0) == 9
    assert still_s(110, 2, 1) == 0
    assert still_s(130, 2, 1) == 20
    assert still_s(131, 0, 3) == 0
    assert still_s(500, 1, 3) == 0, "idle is not stuck"
    assert still_s(501, 1, 3) == 1


def test_a_temperature_that_was_seen_once_is_remembered() -> None:
    trends = Trends()
    trends.note(Counts(0), None)
    assert not trends.lately().temp_seen
    trends.note(Counts(1), 51.0)
    trends.note(Counts(2), None)
    assert trends.lately().temp_seen
