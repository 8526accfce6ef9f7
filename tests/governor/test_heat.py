"""The heat model: it learns how a board heats up, and forecasts its temperature."""

from __future__ import annotations

import random

import pytest

from appliance.governor.heat import Heat, learn
from tests.benchmarks.governor.boards import BOARDS, Board, Plant


def train(board: Board, seconds: int, seed: int = 1) -> tuple[Heat, Plant]:
    """Train the model on a board with a noisy sensor, whose load changes every few minutes."""
    plant, heat, load = Plant(board, 25.0, seed), Heat(), random.Random(seed)
    work = 0.0
    for second in range(seconds):
        if second % 200 == 0:
            work = load.choice([0.1, 0.3, 0.5, 0.7])
        plant.work(work)
        found = plant.read()
        if found.thermal.soc_temp_c is not None:
            heat = learn(heat, plant.at_s, found.thermal.soc_temp_c, work, work)
    return heat, plant


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
@pytest.mark.parametrize("work", [0.0, 0.6])
def test_the_next_minute_of_a_known_board_is_forecast(board: Board, work: float) -> None:
    heat, plant = train(board, 3600)
    forecast = heat.temp_c + heat.rise_c(work, 60.0)
    for _ in range(60):
        plant.work(work)
    assert forecast == pytest.approx(plant.chip_c, abs=3.0)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_steady_temperature_of_a_known_board_is_forecast(board: Board) -> None:
    heat, _ = train(board, 3600)
    rest = heat.temp_c + heat.rise_c(0.5, 3000.0)
    assert rest == pytest.approx(board.settles_c(0.5, 25.0), abs=5.0)


def test_an_outlier_hardly_changes_the_model() -> None:
    heat, plant = train(BOARDS[1], 1200)
    before = heat.rise_c(1.0, 600.0)
    heat = learn(heat, plant.at_s + 1, 120.0, 0.5, 0.5)
    assert heat.rise_c(1.0, 600.0) == pytest.approx(before, abs=2.0)


def test_load_never_cools() -> None:
    heat = Heat()
    for second in range(600):  # the air cools while the load grows
        heat = learn(heat, float(second), 70.0 - second / 20, second / 600, 0.0)
    assert min(heat.gains[1:]) >= 0.99


def test_the_model_is_trusted_after_two_minutes() -> None:
    heat = Heat()
    for second in range(121):
        assert not heat.trusted
        heat = learn(heat, float(second), 50.0, 0.5, 0.5)
    assert heat.trusted


def test_the_model_bridges_a_gap_in_the_readings() -> None:
    heat = learn(learn(Heat(), 0.0, 70.0, 1.0, 1.0), 5000.0, 30.0, 0.0, 0.0)
    assert heat.temp_c == pytest.approx(30.0, abs=0.1)
    assert heat.slow < 0.4
