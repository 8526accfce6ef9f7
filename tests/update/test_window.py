"""When automatic updates may begin."""

from __future__ import annotations

import pytest

from appliance.update import window
from tests.update.night import Night


@pytest.mark.parametrize(
    ("within", "at", "inside"),
    [
        ("02:00-04:00", "02:00", True),
        ("02:00-04:00", "03:59", True),
        ("02:00-04:00", "04:00", False),
        ("22:00-05:00", "23:30", True),
        ("22:00-05:00", "04:59", True),
        ("22:00-05:00", "12:00", False),
        ("00:00-00:00", "12:00", True),
    ],
)
def test_a_window_may_go_over_midnight(within: str, at: str, inside: bool) -> None:
    assert window.contains(within, Night(at).now()) is inside


@pytest.mark.parametrize(("minute", "begins"), [(0, True), (5, True), (30, True), (49, True), (50, False)])
def test_a_short_window_is_met_at_whatever_minute_the_timer_looks(minute: int, begins: bool) -> None:
    """The timer looks once an hour, in its first half: a window of minutes would never be met, or by chance."""
    night = Night(f"02:{minute:02}")
    assert window.has_begun("02:35-02:50", night.now, night.sleep) is begins
    assert night.time.strftime("%H:%M") == f"02:{max(minute, 35)}"


def test_a_long_window_is_not_waited_for() -> None:
    night = Night("01:30")
    assert not window.has_begun("02:00-04:00", night.now, night.sleep)
    assert night.time.strftime("%H:%M") == "01:30"
