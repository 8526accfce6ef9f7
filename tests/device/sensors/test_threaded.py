"""A group on its own thread: what hangs, fails or is late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from appliance.device.sensors.group import Answer
from appliance.device.sensors.threaded import Watched
from appliance.readings import System
from tests.fakes import FakeClock

PATIENCE_S = 10.0
"""Far more than a look takes that does not hang."""


def up(uptime_s: float) -> Answer[System]:
    return Answer(System(uptime_s=uptime_s), {"clock_synchronised": "nobody knows"})


class Script:
    """Answers one after the other; an Event holds the look up until it is set."""

    def __init__(self, *steps: float | threading.Event | Exception) -> None:
        self.steps = list(steps)
        self.found = 0

    def find(self) -> Callable[[], Answer[System]]:
        self.found += 1
        return self.read

    def read(self) -> Answer[System]:
        step = self.steps.pop(0)
        if isinstance(step, threading.Event):
            step.wait()
            step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, float)
        return up(step)


def watched(script: Script, clock: FakeClock, period_s: float = 0.0) -> Watched[System]:
    return Watched(System(), script.find, clock=clock, period_s=period_s)


def look(group: Watched[System]) -> Answer[System]:
    group.ask()
    group.wait(PATIENCE_S)
    return group.answer()


def test_an_answer_carries_its_time_and_its_reasons() -> None:
    clock = FakeClock(42.0)
    answer = look(watched(Script(1.0), clock))
    assert answer.group == System(at_s=42.0, uptime_s=1.0)
    assert answer.why == {"clock_synchronised": "nobody knows"}


def test_before_the_first_answer_everything_is_unknown() -> None:
    answer = watched(Script(), FakeClock()).answer()
    assert answer.group == System()
    assert answer.why == dict.fromkeys(("uptime_s", "clock_synchronised"), "it has not answered yet")


def test_a_hung_group_keeps_its_old_time_then_is_unknown_then_counts_when_it_answers() -> None:
    clock, hang = FakeClock(100.0), threading.Event()
    group = watched(Script(1.0, hang, 2.0, 3.0), clock)
    assert look(group).group == System(at_s=100.0, uptime_s=1.0)
    clock.pass_(1)
    try:
        assert group.ask()
        clock.pass_(9.9)
        assert not group.ask()
        assert group.answer().group == System(at_s=100.0, uptime_s=1.0)
        clock.pass_(2.1)
        assert group.answer().group == System(at_s=100.0)
        assert set(group.answer().why.values()) == {"did not answer for 12 s"}
    finally:
        hang.set()
    group.wait(PATIENCE_S)
    assert group.answer().group == System(at_s=113.0, uptime_s=2.0)
    assert look(group).group.uptime_s == 3.0


def test_however_often_a_hung_group_is_asked_it_holds_one_thread() -> None:
    clock, hang = FakeClock(), threading.Event()
    group = watched(Script(hang, 1.0), clock)
    before = threading.active_count()
    try:
        for _ in range(20):
            group.ask()
            clock.pass_(30)
        assert threading.active_count() == before + 1
    finally:
        hang.set()
        group.wait(PATIENCE_S)


def test_what_fails_is_unknown_logged_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(100.0)
    group = watched(Script(1.0, TypeError("no"), TypeError("no"), 2.0, ValueError("again")), clock)
    look(group)
    with caplog.at_level(logging.ERROR):
        clock.pass_(1)
        for _ in range(2):
            answer = look(group)
            assert answer.group == System(at_s=100.0)
            assert set(answer.why.values()) == {"cannot be read (TypeError); the log says more"}
        assert len(caplog.records) == 1
        assert look(group).group.uptime_s == 2.0
        look(group)
        assert len(caplog.records) == 2


def test_a_slow_group_is_read_when_its_period_is_over() -> None:
    clock = FakeClock(100.0)
    group = watched(Script(1.0, 2.0), clock, period_s=10.0)
    look(group)
    clock.pass_(9)
    assert look(group).group == System(at_s=100.0, uptime_s=1.0)
    clock.pass_(1)
    assert look(group).group == System(at_s=110.0, uptime_s=2.0)


def test_files_are_looked_for_once_a_minute() -> None:
    clock, script = FakeClock(), Script(*map(float, range(1, 8)))
    group = watched(script, clock)
    for _ in range(6):
        look(group)
        clock.pass_(10)
    assert script.found == 1
    look(group)
    assert script.found == 2
