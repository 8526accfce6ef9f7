"""Whether connections to a broker last."""

from __future__ import annotations

from appliance.links.mqtt.steadiness import MOST_SHORT, STEADY_S, Steadiness
from tests.fakes import FakeClock


def connection(steadiness: Steadiness, clock: FakeClock, seconds: float, *, closed: bool = True) -> None:
    steadiness.begin()
    clock.pass_(seconds)
    steadiness.end(closed=closed)
    clock.pass_(1.0)


def test_a_broker_that_restarts_a_few_times_is_not_shaky() -> None:
    clock = FakeClock()
    steadiness = Steadiness(clock)
    for _ in range(MOST_SHORT):
        connection(steadiness, clock, 1.0)
        assert not steadiness.shaky
    connection(steadiness, clock, 1.0)
    assert steadiness.shaky


def test_only_a_connection_that_lasts_ends_it() -> None:
    clock = FakeClock()
    steadiness = Steadiness(clock)
    for _ in range(MOST_SHORT + 1):
        connection(steadiness, clock, STEADY_S / 2)
    steadiness.end(closed=False)  # no connection was made meanwhile
    steadiness.begin()
    assert steadiness.shaky
    clock.pass_(STEADY_S)
    assert not steadiness.shaky
    steadiness.end(closed=True)
    assert not steadiness.shaky
    connection(steadiness, clock, 1.0)
    assert not steadiness.shaky


def test_a_broker_that_does_not_answer_is_another_problem() -> None:
    clock = FakeClock()
    steadiness = Steadiness(clock)
    for _ in range(2 * MOST_SHORT):
        connection(steadiness, clock, 1.0, closed=False)
    assert not steadiness.shaky
