"""A sensor group in its own thread: readings that hang, fail or are late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from appliance.device.sensors.group import GroupReading
from appliance.device.sensors.threaded import ThreadedGroup
from appliance.readings import System
from tests.fakes import FakeClock

PATIENCE_S = 10.0
"""Far more than a reading takes that does not hang."""


def up(uptime_s: float) -> GroupReading[System]:
    return GroupReading(System(uptime_s=uptime_s), {"clock_synchronised": "nobody knows"})


class Script:
    """Readings one after another; an Event blocks the reading until it is set."""

    def __init__(self, *steps: float | threading.Event | Exception) -> None:
        self.steps = list(steps)
        self.found = 0

    def find(self) -> Callable[[], GroupReading[System]]:
        self.found += 1
        return self.read

    def read(self) -> GroupReading[System]:
        step = self.steps.pop(0)
        if isinstance(step, threading.Event):
            step.wait()
            step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, float)
        return up(step)


def threaded(script: Script, clock: FakeClock, period_s: float = 0.0) -> ThreadedGroup[System]:
    return ThreadedGroup(System(), script.find, clock=clock, period_s=period_s)


def read(group: ThreadedGroup[System]) -> GroupReading[System]:
    group.start()
    group.wait(PATIENCE_S)
    return group.latest()


def test_a_reading_has_its_time_and_its_reasons() -> None:
    clock = FakeClock(42.0)
    reading = read(threaded(Script(1.0), clock))
    assert reading.group == System(at_s=42.0, uptime_s=1.0)
    assert reading.why == {"clock_synchronised": "nobody knows"}


def test_before_the_first_reading_everything_is_unknown() -> None:
    reading = threaded(Script(), FakeClock()).latest()
    assert reading.group == System()
    assert reading.why == dict.fromkeys(("uptime_s", "clock_synchronised"), "not read yet")


def test_a_hung_group_keeps_its_values_then_is_unknown_then_uses_the_late_reading() -> None:
    clock, hang = FakeClock(100.0), threading.Event()
    group = threaded(Script(1.0, hang, 2.0, 3.0), clock)
    assert read(group).group == System(at_s=100.0, uptime_s=1.0)
    clock.pass_(1)
    try:
        assert group.start()
        clock.pass_(9.9)
        assert not group.start()
        assert group.latest().group == System(at_s=100.0, uptime_s=1.0)
        clock.pass_(2.1)
        assert group.latest().group == System(at_s=100.0)
        assert set(group.latest().why.values()) == {"no response for 12 s"}
    finally:
        hang.set()
    group.wait(PATIENCE_S)
    assert group.latest().group == System(at_s=113.0, uptime_s=2.0)
    assert read(group).group.uptime_s == 3.0


def test_a_hung_group_has_one_thread_however_often_it_is_started() -> None:
    clock, hang = FakeClock(), threading.Event()
    group = threaded(Script(hang, 1.0), clock)
    before = set(threading.enumerate())
    try:
        for _ in range(20):
            group.start()
            clock.pass_(30)
        assert len(set(threading.enumerate()) - before) == 1
    finally:
        hang.set()
        group.wait(PATIENCE_S)


def test_a_failed_group_is_unknown_logged_once_and_read_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(100.0)
    group = threaded(Script(1.0, TypeError("no"), TypeError("no"), 2.0, ValueError("again")), clock)
    read(group)
    with caplog.at_level(logging.ERROR):
        clock.pass_(1)
        for _ in range(2):
            reading = read(group)
            assert reading.group == System(at_s=100.0)
            assert set(reading.why.values()) == {"cannot be read (TypeError); see the log"}
        assert len(caplog.records) == 1
        assert read(group).group.uptime_s == 2.0
        read(group)
        assert len(caplog.records) == 2


def test_a_group_with_a_period_is_read_once_per_period() -> None:
    clock = FakeClock(100.0)
    group = threaded(Script(1.0, 2.0), clock, period_s=10.0)
    read(group)
    clock.pass_(9)
    assert read(group).group == System(at_s=100.0, uptime_s=1.0)
    clock.pass_(1)
    assert read(group).group == System(at_s=110.0, uptime_s=2.0)


def test_files_are_searched_for_once_a_minute() -> None:
    clock, script = FakeClock(), Script(*map(float, range(1, 8)))
    group = threaded(script, clock)
    for _ in range(6):
        read(group)
        clock.pass_(10)
    assert script.found == 1
    read(group)
    assert script.found == 2
