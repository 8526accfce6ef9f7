"""The duration of each step of a start."""

from __future__ import annotations

from appliance.timeline import Timeline
from tests.fakes import FakeClock


def test_each_step_lasts_from_the_previous_one() -> None:
    clock = FakeClock()
    timeline = Timeline(clock, clock() - 0.25)
    timeline.mark("imports")
    clock.pass_(1.5)
    timeline.mark("compiled")
    assert str(timeline) == "imports 0.25 s, compiled 1.50 s"
    assert timeline.total_s == 1.75


def test_a_start_without_a_finished_step_has_no_duration() -> None:
    timeline = Timeline(FakeClock(), 1000.0)
    assert (str(timeline), timeline.total_s) == ("", 0.0)
