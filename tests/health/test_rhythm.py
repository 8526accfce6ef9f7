"""A camera is silent by its own rhythm: a regular one after two minutes, an irregular one never without reason."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from appliance.health.rhythm import LEAST_S, MOST_S, Rhythm

DAY_S = 86_400.0
HOUR_S = 3600.0


def silences(gaps: Iterator[float], span_s: float) -> list[float]:
    """The gaps that are reported within a span of time."""
    rhythm, now_s, reported = Rhythm(), 0.0, []
    while now_s < span_s:
        gap_s = next(gaps)
        if rhythm.regular and gap_s >= rhythm.silent_after_s:
            reported.append(gap_s)
        rhythm.note(gap_s)
        now_s += gap_s
    return reported


def bursts(chance: random.Random, mean_s: float) -> Iterator[float]:
    """Motion: some frames in a row, then nothing for a random time."""
    while True:
        yield from [1.0] * chance.randint(3, 30)
        yield chance.expovariate(1 / mean_s)


def timer(every_s: float, off_every_s: float = float("inf"), off_s: float = 0.0) -> Iterator[float]:
    on_s = 0.0
    while True:
        yield every_s
        on_s += every_s
        if on_s >= off_every_s:
            yield off_s
            on_s = 0.0


@pytest.mark.parametrize("mean_s", [60.0, 1200.0, 5 * HOUR_S])
@pytest.mark.parametrize("seed", range(5))
def test_a_camera_that_sends_on_motion_does_not_flap(mean_s: float, seed: int) -> None:
    assert len(silences(bursts(random.Random(seed), mean_s), 14 * DAY_S)) <= 2


@pytest.mark.parametrize("every_s", [1.0, 10.0, 40.0])
def test_a_regular_camera_that_stops_is_reported_after_two_minutes(every_s: float) -> None:
    rhythm = Rhythm()
    for gap_s in [every_s] * 1000:
        rhythm.note(gap_s)
    assert rhythm.regular
    assert LEAST_S <= rhythm.silent_after_s <= 2 * LEAST_S


def test_each_outage_of_a_regular_camera_is_reported() -> None:
    assert len(silences(timer(10.0, 3 * DAY_S, 8 * HOUR_S), 14 * DAY_S)) == 4


def test_a_camera_that_is_off_every_night_is_reported_three_times() -> None:
    assert len(silences(timer(30.0, 14 * HOUR_S, 10 * HOUR_S), 30 * DAY_S)) == 3


def test_nothing_is_expected_of_a_camera_that_sent_a_few_frames() -> None:
    rhythm = Rhythm()
    for _ in range(9):
        rhythm.note(30.0)
    assert not rhythm.regular


@pytest.mark.parametrize("gap_s", [0.0, 1e-9, 1e9])
def test_the_limit_stays_within_its_bounds(gap_s: float) -> None:
    rhythm = Rhythm()
    for _ in range(200):
        rhythm.note(gap_s)
        assert LEAST_S <= rhythm.silent_after_s <= MOST_S
    assert len(rhythm.longest) <= 8
