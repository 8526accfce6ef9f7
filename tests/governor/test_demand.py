"""What the cameras ask for, and what the engine uses for it: measured, or inferred from CPU use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.governor.demand import Attempt, CameraDemand, next_demand

ALL = CameraDemand()


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


def test_what_others_leave_says_nothing_of_what_the_engine_would_use() -> None:
    demand = follow(ALL, [(300, 0.95, 1.0)])
    for second in range(1200):
        duty = 0.5 if second % 200 < 100 else 0.4
        demand = next_demand(demand, 0.4 * duty, duty, 1.0, 1.0, idle=0.02)
    assert demand.use_at_full > 0.85


def test_an_attempt_ends_when_the_use_is_more_than_it_assumes() -> None:
    assumed = Attempt(since_s=10.0, before=(0.5, 0.6))
    demand = replace(ALL, use_at_full=0.9, own=0.5, own_slow=0.5, duty=0.6, attempt=assumed)
    assert next_demand(demand, 0.5, 0.6, 1.0, 1.0, room_c=3.0).attempt.before is not None
    demand = next_demand(demand, 0.85, 0.8, 1.0, 1.0, room_c=3.0)
    assert demand.attempt.before is None
    assert demand.use_at_full >= 0.9


def test_use_that_follows_the_duty_is_all_that_the_engine_uses() -> None:
    """Such as a service that may use half of the processors."""
    changes = [(200.0, duty / 2, duty) for duty in (1.0, 0.8, 0.6, 0.8, 1.0)]
    assert follow(ALL, changes).use_at_full == pytest.approx(0.5, abs=0.05)
    assert follow(ALL, [(200, 0.5, 1.0), (200, 0.5, 0.8)]).use_at_full > 0.9, "they send as much at any duty"


def live(
    true_at_full: float, sent: float, seconds: int, demand: CameraDemand = ALL, *, known: bool = False
) -> CameraDemand:
    """A chip that can cool 0.3 of the CPU, with an engine that uses `true_at_full` of it at full duty, and cameras that
    send a part of what a cool device takes."""
    for _ in range(seconds):
        duty = min(1.0, 0.3 / demand.assumed_at_full)
        busy = min(sent, duty)
        own = busy * true_at_full
        room_c = 20.0 * (0.3 - own)
        demand = next_demand(demand, own, duty, 1.0, 1.0, busy=busy if known else None, room_c=room_c)
    return demand


@pytest.mark.parametrize("true_at_full", [0.5, 0.31])
def test_an_engine_that_uses_part_of_the_cpu_gets_its_duty_within_minutes(true_at_full: float) -> None:
    """A GPU does the work, or the engine has few threads."""
    demand = live(true_at_full, 1.0, 1200)
    assert demand.use_at_full < true_at_full * 1.25
    assert live(true_at_full, 1.0, 300, known=True).use_at_full == pytest.approx(true_at_full, abs=0.05)


def test_cameras_that_send_little_are_not_taken_for_such_an_engine() -> None:
    demand = live(1.0, 1.0, 300)
    assert demand.use_at_full > 0.95
    assert live(1.0, 0.1, 7200, demand).use_at_full > 0.85
    assert live(1.0, 0.1, 7200, demand, known=True).use_at_full > 0.95


def test_the_busy_time_of_the_engine_is_the_demand_where_it_is_known() -> None:
    demand = live(0.5, 0.2, 600, known=True)
    assert demand.frames == pytest.approx(0.2, abs=0.05)
    assert live(0.5, 1.0, 60, demand, known=True).frames > 0.5


def test_an_attempt_ends_where_the_chip_is_warm_enough() -> None:
    demand = ALL
    for _ in range(400):
        demand = next_demand(demand, 0.2, 0.5, 1.0, 1.0, room_c=10.0)
        if demand.attempt.before is not None:
            break
    assert demand.assumed_at_full < demand.use_at_full
    demand = next_demand(demand, 0.2, 0.5, 1.0, 1.0, room_c=0.0)
    assert demand.assumed_at_full == demand.use_at_full


def test_what_the_engine_uses_is_learned_at_any_duty() -> None:
    """A hot device starts with a duty of a percent, which the use at full duty decides."""
    demand = ALL
    for _ in range(1800):
        demand = next_demand(demand, 0.14 * 0.01, 0.01, 1.0, 1.0, busy=0.01)
    assert demand.use_at_full == pytest.approx(0.14, abs=0.02)
    for _ in range(1800):
        demand = next_demand(demand, 0.001, 0.01, 1.0, 1.0, busy=0.001)
    assert demand.use_at_full == pytest.approx(0.14, abs=0.02), "so little is noise"


def sends(busy: float, duty: float, demand: CameraDemand, seconds: int = 600) -> float:
    """The demand of cameras that use so much of this duty, for so long."""
    for _ in range(seconds):
        demand = next_demand(demand, busy, duty, 0.632, 1.0, busy=busy)
    return demand.frames


def test_cameras_that_perhaps_are_limited_are_believed_to_send_what_they_sent_before() -> None:
    """Else the size is changed to find out, again and again."""
    known = CameraDemand(frames=0.5, sure=0.5, sent=0.5, own=0.316, busy=0.316, duty=0.4)
    assert sends(0.316, 0.4, known) == pytest.approx(0.5, abs=0.03)
    assert sends(0.316, 0.4, replace(known, frames=1.0)) > 0.9
    assert sends(0.38, 0.4, known) > 0.9, "the duty limits them"
    assert sends(0.316, 0.4, replace(known, sure=0.4)) > 0.9, "they send more than before"


def test_nothing_is_learned_while_detection_is_off() -> None:
    demand = CameraDemand(use_at_full=0.5)
    for _ in range(10):
        demand = next_demand(demand, 0.3, 0.0, 1.0, 8 * 3600.0)
    assert demand.use_at_full == 0.5
