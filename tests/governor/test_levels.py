"""Throttle levels: they follow the duty slowly, and the cameras' demand decides when a size is left."""

from __future__ import annotations

from dataclasses import replace

from appliance.governor.demand import CameraDemand
from appliance.governor.levels import Ease, next_level
from tests.governor.readings import LADDER, LAST

ALL = CameraDemand()


def settle(
    level: int, duty: float, lasting: float, seconds: int, demand: CameraDemand = ALL, ease: Ease | None = None
) -> tuple[Ease, int, float | None]:
    """Return the last ease and level, and when the level changed first."""
    ease, moved_s = ease or Ease(moved_s=0.0), None
    before = level
    for second in range(seconds):
        ease, level = next_level(ease, level, duty, lasting, demand, LADDER, float(second))
        if level != before and moved_s is None:
            moved_s = float(second)
    return ease, level, moved_s


def test_the_level_with_the_most_valuable_frames_is_chosen() -> None:
    sides = [LADDER.steps[settle(0, duty, duty, 60)[1]].limits.max_side for duty in (1.0, 0.7, 0.5, 0.3, 0.2, 0.1)]
    assert sides == [640, 512, 416, 320, 256, 256]


def test_a_level_that_is_worth_clearly_more_is_used_within_seconds() -> None:
    assert settle(0, 0.3, 0.3, 60)[2] == 10.0


def test_a_level_down_never_stops_detection() -> None:
    assert settle(0, 0.0, 0.0, 60)[1] == LAST - 1


def test_a_small_dip_changes_nothing() -> None:
    assert settle(0, 0.92, 0.92, 600)[1] == 0


def test_a_burst_of_another_program_changes_no_size() -> None:
    ease, level, _ = settle(0, 0.7, 0.7, 60)
    for second in range(60, 64):
        ease, level = next_level(ease, level, 0.02, 0.7, ALL, LADDER, float(second), burst=True)
    assert level == next_level(ease, level, 0.7, 0.7, ALL, LADDER, 64.0)[1] == 1


def test_the_way_back_is_quick_if_the_duty_lasts_and_slow_if_not() -> None:
    assert settle(3, 1.0, 1.0, 900)[1:] == (0, 20.0)
    assert settle(1, 1.0, 0.7, 900)[1:] == (0, 600.0)


def test_a_move_up_that_was_too_early_makes_the_next_one_wait() -> None:
    first = settle(1, 1.0, 0.99, 100, ease=Ease(moved_s=0.0, failed=0))[2]
    later = settle(1, 1.0, 0.99, 900, ease=Ease(moved_s=0.0, failed=2, wrong=0.99))[2]
    assert first == 20.0
    assert later == 180.0


def test_a_forecast_that_was_wrong_before_needs_more_room() -> None:
    assert settle(3, 0.5, 0.5, 900)[2] == 20.0
    assert settle(3, 0.5, 0.5, 900, ease=Ease(moved_s=0.0, failed=4, wrong=0.5))[2] is None
    assert settle(3, 0.9, 0.9, 900, ease=Ease(moved_s=0.0, failed=4, wrong=0.5))[2] == 20.0


def test_a_forecast_that_is_clearly_better_than_the_wrong_ones_waits_less() -> None:
    """What the moves up have failed for is over, as when a backup has ended."""
    assert settle(1, 1.0, 0.99, 1800, ease=Ease(moved_s=0.0, failed=4, wrong=0.6))[2] == 100.0
    assert settle(1, 1.0, 0.99, 1800, ease=Ease(moved_s=0.0, failed=4, wrong=0.9))[2] == 1620.0


def test_the_forecast_of_a_move_up_that_is_reversed_soon_was_wrong() -> None:
    raised = settle(1, 1.0, 0.99, 60)[0]
    assert raised.forecast == 0.99
    assert settle(0, 0.5, 0.5, 60, ease=raised)[0].wrong == 0.99
    attempt = replace(raised, forecast=0.0)
    assert settle(0, 0.5, 0.5, 60, ease=attempt)[0].wrong == 0.0


def test_cameras_that_send_little_keep_their_size() -> None:
    assert settle(0, 0.3, 0.3, 600, CameraDemand(frames=0.25))[1] == 0
    assert settle(0, 0.3, 0.3, 600, CameraDemand(frames=0.8))[1] > 0
