"""Looks become rows: means, rates and latencies of what was seen, dated rightly also when the clock is set."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.health.history import History, as_json
from appliance.health.recorder import Look, Recorder, quantile
from appliance.health.trends import Counts
from appliance.readings import Cpu, Memory, Reading, Thermal
from tests.fakes import FakeClock

BOUNDS_S = (0.01, 0.1, 1.0)
WALL_S = 1_800_000_000.0


class Box:
    """A recorder with both of its clocks, and a box that answers two frames and refuses one in a second."""

    def __init__(self) -> None:
        self.clock, self.wall = FakeClock(), FakeClock(WALL_S)
        self.history = History()
        self.recorder = Recorder(self.history, latency_bounds_s=BOUNDS_S, clock=self.clock, wall_clock=self.wall)
        self.seconds = 0

    def live(self, seconds: int, every_s: float = 1.0, **changes: Any) -> None:
        for _ in range(seconds):
            n = self.seconds
            counts = Counts(
                self.clock.now_s, received=3 * n, answered=2 * n, rate_limited=n, latency_counts=(0, 2 * n, 0, 0)
            )
            reading = Reading(self.clock.now_s, Thermal(soc_temp_c=50.0 + n % 10), cpu=Cpu(percent=40.0),
                              memory=Memory(available_bytes=10**9 + n))  # fmt: skip
            self.recorder.note(replace(Look(reading, counts, 0, 2, "ok"), **changes))
            self.seconds += 1
            self.clock.pass_(every_s)
            self.wall.pass_(every_s)

    def column(self, name: str) -> list[Any]:
        values: list[Any] = as_json(self.history.excerpt("hour", self.wall.now_s))["columns"][name]
        return values


def test_ten_looks_are_a_row() -> None:
    box = Box()
    box.live(21)
    assert box.column("soc_temp_c")[-2:] == [54.5, 54.5]
    assert box.column("cpu_percent")[-2:] == [40.0, 40.0]
    assert box.column("memory_available_bytes")[-1] == pytest.approx(10**9, rel=1e-6)
    assert box.column("answered_fps")[-2:] == [2.0, 2.0]
    assert box.column("refused_fps")[-2:] == [1.0, 1.0]
    assert box.column("latency_p50_ms")[-1] == 55.0
    assert box.column("latency_p95_ms")[-1] == 95.5
    assert box.column("cameras")[-2:] == [2, 2]
    assert box.column("status")[-2:] == [0, 0]


def test_the_worst_moment_of_a_row_is_its_state() -> None:
    box = Box()
    box.live(4)
    box.live(1, status="critical", cooling=5)
    box.live(1, status="degraded", cooling=2)
    box.live(5)
    assert (box.column("status")[-1], box.column("cooling_state")[-1]) == (2, 5)


def test_what_no_look_knew_is_unknown() -> None:
    box = Box()
    box.live(11, reading=Reading(0))
    assert (box.column("soc_temp_c")[-1], box.column("memory_available_bytes")[-1]) == (None, None)
    box.live(30, counts=Counts(box.clock.now_s, latency_counts=(0, 0, 0, 0)))
    assert box.column("latency_p95_ms")[-1] is None


def test_a_pause_leaves_a_gap_and_makes_no_peak() -> None:
    box = Box()
    box.live(20)
    box.clock.pass_(60)
    box.wall.pass_(60)
    box.live(11)
    assert box.column("cpu_percent")[-9:] == [40.0, 40.0, *[None] * 6, 40.0]
    assert max(value for value in box.column("answered_fps") if value is not None) <= 2.0


@pytest.mark.parametrize("jump_s", [50 * 365 * 86_400.0, -3600.0, 86_400.0, 11.0])
def test_a_clock_that_is_set_takes_the_rows_of_this_run_with_it(jump_s: float) -> None:
    box = Box()
    box.live(40)
    box.wall.pass_(jump_s)
    box.live(40)
    known = [value for value in box.column("cpu_percent") if value is not None]
    assert known == [40.0] * len(known)
    assert 6 <= len(known) <= 8, "a row at the seam may be lost"
    assert box.column("cpu_percent")[-8:].count(40.0) >= 7


def test_a_board_without_a_clock_begins_in_1970() -> None:
    box = Box()
    box.wall.now_s = 3.0
    box.live(60)
    box.wall.now_s = WALL_S
    box.live(30)
    assert box.column("cpu_percent")[-9:].count(40.0) >= 8


def test_a_clock_that_is_slewed_moves_nothing() -> None:
    box = Box()
    for _ in range(100):
        box.live(1)
        box.wall.pass_(0.05)
    assert box.column("cpu_percent")[-10:] == [40.0] * 10


@given(st.lists(st.floats(0.001, 5.0), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_quantile_lies_in_the_bucket_of_the_value_it_stands_for(values: list[float], part: float) -> None:
    counts = [0, 0, 0, 0]
    for value in values:
        counts[bisect_left(BOUNDS_S, value)] += 1
    meant = sorted(values)[math.ceil(part * len(values) - 1e-9) - 1]
    bucket = bisect_left(BOUNDS_S, meant)
    found = quantile(BOUNDS_S, counts, part)
    assert found is not None
    assert (0.0, *BOUNDS_S)[bucket] - 1e-9 <= found <= (*BOUNDS_S, BOUNDS_S[-1])[bucket] + 1e-9


def test_no_values_have_no_quantile() -> None:
    assert quantile(BOUNDS_S, [0, 0, 0, 0], 0.5) is None
