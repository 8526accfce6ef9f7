"""The cap while the board complains: less work at once, back later, and the target of a hot chip."""

from __future__ import annotations

import pytest

from appliance.governor.cap import Cap, complaint_of, next_cap
from appliance.readings import Power


def test_a_cool_throttled_chip_gets_less_every_half_minute() -> None:
    cap, duties = Cap(), []
    for second in range(61):
        cap = next_cap(cap, "throttled", None, float(second), 50.0, 0.8)
        duties.append(round(cap.duty, 3))
    assert (duties[0], duties[29], duties[30], duties[60]) == (0.56, 0.56, 0.392, 0.274)
    assert cap.reason == "throttled"


def test_a_hot_throttled_chip_lowers_the_target_and_not_the_duty() -> None:
    cap = next_cap(Cap(), "throttled", None, 0.0, 72.0, 0.8)
    assert (cap.duty, cap.reason, cap.ceiling_c) == (1.0, None, 70.5)
    for hour in range(1, 3):
        cap = next_cap(cap, None, None, 3600.0 * hour, 60.0, 0.8)
    assert cap.ceiling_c == pytest.approx(74.5)


def test_a_chip_that_cools_while_it_is_throttled_does_not_pull_the_target_down() -> None:
    cap = Cap()
    for second in range(50):
        cap = next_cap(cap, "throttled", None, float(second), 100.0 - second / 5, 0.8)
    assert cap.ceiling_c == pytest.approx(98.5, abs=0.1)
    for second in range(50, 130):  # it goes on although the chip is cooler: the limit is lower
        cap = next_cap(cap, "throttled", None, float(second), 90.0, 0.8)
    assert cap.ceiling_c < 94.0


def test_the_highest_temperature_of_late_counts_when_the_complaint_comes_late() -> None:
    cap = next_cap(Cap(), None, None, 0.0, 99.0, 0.8)
    for second in range(1, 11):
        cap = next_cap(cap, None, None, float(second), 90.0, 0.8)
    assert next_cap(cap, "throttled", None, 11.0, 90.0, 0.8).ceiling_c > 96.0


def test_a_board_that_reports_its_trip_point_is_believed() -> None:
    cap = next_cap(Cap(), "throttled", None, 0.0, 80.0, 0.8, target_c=98.0)
    assert cap.ceiling_c == 96.0
    for second in range(1, 62):
        cap = next_cap(cap, "throttled", None, float(second), 80.0, 0.8, target_c=98.0)
    assert cap.ceiling_c == pytest.approx(94.0, abs=0.1)


def test_heat_of_others_does_not_lower_the_target() -> None:
    assert next_cap(Cap(), "throttled", None, 0.0, 99.0, 0.01).ceiling_c == float("inf")


def test_the_wait_doubles_with_each_return_that_was_too_early() -> None:
    cap, now_s, waits = Cap(), 0.0, []
    for _ in range(3):
        cap = next_cap(cap, "under_voltage", None, now_s, 50.0, 1.0)
        low, since_s = cap.duty, now_s
        while cap.duty <= low:
            now_s += 1.0
            cap = next_cap(cap, None, None, now_s, 50.0, low)
        waits.append(now_s - since_s)
        now_s += 1.0
    assert waits == [75.0, 150.0, 300.0]


def test_a_new_throttle_event_is_a_complaint_and_an_old_one_is_not() -> None:
    assert complaint_of(Power(throttle_events=6), 5) == "throttled"
    assert complaint_of(Power(throttle_events=6), 6) is None
    assert complaint_of(Power(throttle_events=6), None) is None
    assert complaint_of(Power(soft_limit=True), None) is None


def slow_since(seconds: int, temp_c: float) -> list[Cap]:
    """A chip that is slow, on a board that reports neither that nor its trip point: it cools where it may work less."""
    cap, caps = Cap(), []
    for second in range(seconds):
        shown_c = min(temp_c, cap.ceiling_c)
        cap = next_cap(cap, "throttled", None, float(second), shown_c, 0.9, reported=False)
        caps.append(cap)
    return caps


def test_slowness_lowers_the_target_until_the_chip_is_as_slow_where_it_is_cooler() -> None:
    caps = slow_since(3600, 75.0)
    assert min(cap.ceiling_c for cap in caps) == pytest.approx(69.0, abs=1.0)
    assert caps[-1].ceiling_c == float("inf")
    dismissed = next(second for second, cap in enumerate(caps) if cap.suspicion is not None and cap.suspicion.dismissed)
    assert dismissed < 600


def test_slowness_of_a_chip_that_is_not_hot_reduces_the_duty_for_minutes_only() -> None:
    caps = slow_since(1800, 55.0)
    assert caps[60].duty < 0.7
    assert caps[-1].duty == 1.0
    assert caps[-1].suspicion is not None
    assert caps[-1].suspicion.dismissed


def test_what_the_board_itself_reports_is_not_dismissed() -> None:
    cap = Cap()
    for second in range(3600):
        cap = next_cap(cap, "throttled", None, float(second), 55.0, 0.9)
    assert cap.duty < 0.1
