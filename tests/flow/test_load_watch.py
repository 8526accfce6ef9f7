"""The engine's busy time, as the governor reads it once a second."""

from __future__ import annotations

import pytest

from appliance.flow.load_watch import LoadWatch
from appliance.flow.mailboxes import EngineUsage


def test_a_frame_of_seconds_counts_as_long_as_it_took() -> None:
    watch, seen = LoadWatch(0.0), []
    for second in range(60):
        watch.used(EngineUsage(0.0, 3.0 if second % 6 == 2 else 0.0))
        busy = watch.take_busy()
        assert busy is not None
        seen.append(busy)
    assert sum(seen) / len(seen) * watch.capacity.use == pytest.approx(0.5, abs=0.03)
    assert max(seen) == 1


def test_what_a_long_frame_owes_is_forgotten_soon() -> None:
    watch = LoadWatch(0.0)
    watch.used(EngineUsage(0.0, 1000.0))
    watch.take_busy()
    for _ in range(11):
        watch.used(EngineUsage(1.0, 0.0))
        busy = watch.take_busy()
    assert busy == 0


def test_without_a_step_the_busy_time_is_not_known() -> None:
    assert LoadWatch(0.0).take_busy() is None
