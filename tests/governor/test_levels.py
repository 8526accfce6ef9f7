"""Throttle levels: they follow the duty slowly, and the cameras' demand decides when a size is left."""

from __future__ import annotations

import pytest

from appliance.governor.levels import CameraDemand, Ease, next_demand, next_level
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


def test_the_way_back_is_quick_if_the_duty_lasts_and_slow_if_not() -> None:
    assert settle(3, 1.0, 1.0, 900)[1:] == (0, 20.0)
    assert settle(1, 1.0, 0.7, 900)[1:] == (0, 600.0)


def test_a_move_up_that_was_too_early_makes_the_next_one_wait() -> None:
    first = settle(1, 1.0, 0.99, 100, ease=Ease(moved_s=0.0, failed=0))[2]
    later = settle(1, 1.0, 0.99, 900, ease=Ease(moved_s=0.0, failed=2))[2]
    assert first == 20.0
    assert later == 180.0


def test_cameras_that_send_little_keep_their_size() -> None:
    assert settle(0, 0.3, 0.3, 600, CameraDemand(frames=0.25))[1] == 0
    assert settle(0, 0.3, 0.3, 600, CameraDemand(frames=0.8))[1] > 0


def test_the_demand_is_what_cameras_use_of_what_they_may() -> None:
    demand = ALL
    for _ in range(600):
        demand = next_demand(demand, 0.2, 0.8, 1.0, 1.0)
    assert 0.15 < demand.frames * demand.use_at_full < 0.3
    for _ in range(60):
        demand = next_demand(demand, 0.6, 0.8, 1.0, 1.0)
    assert demand.frames > 0.55


def follow(demand: CameraDemand, uses: list[tuple[float, float, float]]) -> CameraDemand:
    """The demand after these times (s) at a use and a duty."""
    for seconds, own, duty in uses:
        for _ in range(int(seconds)):
            demand = next_demand(demand, own, duty, 1.0, 1.0)
    return demand


def test_a_duty_that_cameras_leave_unused_is_not_forgotten_to_be_more() -> None:
    """Else the next larger size takes all of it at once, and throttles the board."""
    busy = follow(ALL, [(300, 0.95, 1.0)])
    assert follow(busy, [(3600, 0.5, 1.0)]).use_at_full > 0.85
    creeping = [(20.0, 0.6, 0.64 * 1.01**step) for step in range(40)]
    assert follow(busy, creeping).use_at_full > 0.85


def test_use_that_follows_the_duty_is_all_that_the_engine_uses() -> None:
    """Such as a service that may use half of the processors."""
    changes = [(200.0, duty / 2, duty) for duty in (1.0, 0.8, 0.6, 0.8, 1.0)]
    assert follow(ALL, changes).use_at_full == pytest.approx(0.5, abs=0.05)
    assert follow(ALL, [(200, 0.5, 1.0), (200, 0.5, 0.8)]).use_at_full > 0.9, "they send as much at any duty"
