"""Samples become rows: means, rates and latencies, with correct dates even when the clock is set."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.health.history import History, as_json
from appliance.health.recorder import Recorder, Sample, quantile
from appliance.health.trends import Counts
from appliance.readings import Cpu, Memory, Reading, Thermal
from tests.fakes import FakeClock

BOUNDS_S = (0.01, 0.1, 1.0)
WALL_S = 1_800_000_000.0


class Device:
    """A recorder with both clocks, on a device that answers two frames and refuses one per second."""

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
            self.recorder.note(replace(Sample(reading, counts, 0, 2, "ok"), **changes))
            self.seconds += 1
            self.clock.pass_(every_s)
            self.wall.pass_(every_s)

    def column(self, name: str) -> list[Any]:
        values: list[Any] = as_json(self.history.excerpt("hour", self.wall.now_s))["columns"][name]
        return values


def test_ten_samples_make_a_row() -> None:
    device = Device()
    device.live(21)
    assert device.column("soc_temp_c")[-2:] == [54.5, 54.5]
    assert device.column("cpu_percent")[-2:] == [40.0, 40.0]
    assert device.column("memory_available_bytes")[-1] == pytest.approx(10**9, rel=1e-6)
    assert device.column("answered_fps")[-2:] == [2.0, 2.0]
    assert device.column("refused_fps")[-2:] == [1.0, 1.0]
    assert device.column("latency_p50_ms")[-1] == 55.0
    assert device.column("latency_p95_ms")[-1] == 95.5
    assert device.column("cameras")[-2:] == [2, 2]
    assert device.column("status")[-2:] == [0, 0]


def test_a_row_keeps_the_worst_status_and_cooling_state() -> None:
    device = Device()
    device.live(4)
    device.live(1, status="critical", cooling=5)
    device.live(1, status="degraded", cooling=2)
    device.live(5)
    assert (device.column("status")[-1], device.column("cooling_state")[-1]) == (2, 5)


def test_a_value_missing_from_all_samples_is_unknown() -> None:
    device = Device()
    device.live(11, reading=Reading(0))
    assert (device.column("soc_temp_c")[-1], device.column("memory_available_bytes")[-1]) == (None, None)
    device.live(30, counts=Counts(device.clock.now_s, latency_counts=(0, 0, 0, 0)))
    assert device.column("latency_p95_ms")[-1] is None


def test_a_pause_leaves_a_gap_and_causes_no_peak() -> None:
    device = Device()
    device.live(20)
    device.clock.pass_(60)
    device.wall.pass_(60)
    device.live(11)
    assert device.column("cpu_percent")[-9:] == [40.0, 40.0, *[None] * 6, 40.0]
    assert max(value for value in device.column("answered_fps") if value is not None) <= 2.0


@pytest.mark.parametrize("jump_s", [50 * 365 * 86_400.0, -3600.0, 86_400.0, 11.0])
def test_rows_of_this_run_move_when_the_clock_is_set(jump_s: float) -> None:
    device = Device()
    device.live(40)
    device.wall.pass_(jump_s)
    device.live(40)
    known = [value for value in device.column("cpu_percent") if value is not None]
    assert known == [40.0] * len(known)
    assert 6 <= len(known) <= 8, "a row at the seam may be lost"
    assert device.column("cpu_percent")[-8:].count(40.0) >= 7


def test_a_board_without_a_clock_starts_in_1970() -> None:
    device = Device()
    device.wall.now_s = 3.0
    device.live(60)
    device.wall.now_s = WALL_S
    device.live(30)
    assert device.column("cpu_percent")[-9:].count(40.0) >= 8


def test_a_slewed_clock_moves_no_rows() -> None:
    device = Device()
    for _ in range(100):
        device.live(1)
        device.wall.pass_(0.05)
    assert device.column("cpu_percent")[-10:] == [40.0] * 10


@given(st.lists(st.floats(0.001, 5.0), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_quantile_is_within_the_bucket_of_its_value(values: list[float], part: float) -> None:
    counts = [0, 0, 0, 0]
    for value in values:
        counts[bisect_left(BOUNDS_S, value)] += 1
    expected = sorted(values)[math.ceil(part * len(values) - 1e-9) - 1]
    bucket = bisect_left(BOUNDS_S, expected)
    found = quantile(BOUNDS_S, counts, part)
    assert found is not None
    assert (0.0, *BOUNDS_S)[bucket] - 1e-9 <= found <= (*BOUNDS_S, BOUNDS_S[-1])[bucket] + 1e-9


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile(BOUNDS_S, [0, 0, 0, 0], 0.5) is None
