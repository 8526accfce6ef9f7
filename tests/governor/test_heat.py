"""The heat model: it learns how a board heats up, and forecasts its temperature."""

from __future__ import annotations

import random
from dataclasses import replace
from math import sin

import pytest

from appliance.governor.heat import Heat, Load, learn
from tests.benchmarks.governor.boards import BOARDS, Board, Habits, Plant


def train(board: Board, seconds: int, seed: int = 1) -> tuple[Heat, Plant]:
    """Train the model on a board with a noisy sensor, whose load changes every few minutes."""
    plant, heat, chance = Plant(board, 25.0, seed), Heat(), random.Random(seed)
    work = 0.0
    for second in range(seconds):
        if second % 200 == 0:
            work = chance.choice([0.1, 0.3, 0.5, 0.7])
        plant.work(work)
        found = plant.read()
        if found.thermal.soc_temp_c is not None:
            watts = found.power.watts.get("VDD_IN")
            load = Load(work, work) if watts is None else Load(watts, work, in_watts=True)
            heat = learn(heat, plant.at_s, found.thermal.soc_temp_c, load)
    return heat, plant


def with_rail(board: Board) -> Board:
    return replace(board, habits=Habits(rail=True))


@pytest.mark.parametrize("board", [*BOARDS, with_rail(BOARDS[2])], ids=lambda board: board.name)
@pytest.mark.parametrize("work", [0.0, 0.6])
def test_the_next_minute_of_a_known_board_is_forecast(board: Board, work: float) -> None:
    heat, plant = train(board, 3600)
    forecast = heat.temp_c + heat.rise_c(60.0) + heat.effect_c(60.0) * (work - heat.own)
    for _ in range(60):
        plant.work(work)
    assert forecast == pytest.approx(plant.chip_c, abs=3.0)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_steady_temperature_of_a_known_board_is_forecast(board: Board) -> None:
    heat, _ = train(board, 3600)
    steady = heat.temp_c + heat.rise_c(3000.0) + heat.effect_c(3000.0) * (0.5 - heat.own)
    assert steady == pytest.approx(board.settles_c(0.5, 25.0), abs=5.0)


def test_on_a_board_with_a_power_meter_the_power_of_the_service_is_learned() -> None:
    heat, _ = train(with_rail(BOARDS[2]), 3600)
    assert heat.drive_per_own == pytest.approx(BOARDS[2].full_w, rel=0.25)


def test_an_outlier_hardly_changes_the_model() -> None:
    heat, plant = train(BOARDS[1], 1200)
    before, temp_c = heat.effect_c(600.0), heat.temp_c
    heat = learn(heat, plant.at_s + 1, 120.0, Load(0.5, 0.5))
    assert heat.effect_c(600.0) == pytest.approx(before, abs=2.0)
    assert heat.temp_c == pytest.approx(temp_c, abs=8.0)


def test_what_is_not_known_is_doubted() -> None:
    new = learn(Heat(), 0.0, 50.0, Load(0.0, 0.0))
    known, _ = train(BOARDS[1], 1200)
    assert new.effect_c(60.0, doubt=1.0) > 1.3 * new.effect_c(60.0)
    assert known.effect_c(60.0, doubt=1.0) < 1.3 * known.effect_c(60.0)


def test_load_never_cools() -> None:
    heat = Heat()
    for second in range(600):  # the air cools while the load grows
        heat = learn(heat, float(second), 70.0 - second / 20, Load(second / 600, 0.0))
    assert min(heat.gains[1:]) >= 0.0


def test_the_model_bridges_a_gap_in_the_readings() -> None:
    heat = learn(learn(Heat(), 0.0, 70.0, Load(1.0, 1.0)), 5000.0, 30.0, Load(0.0, 0.0))
    assert max(heat.lags) < 0.4
    assert heat.temp_c < 60.0


def test_a_rise_without_a_known_cause_is_followed_closely() -> None:
    heat, plant = train(BOARDS[1], 1200)
    work, temp_c = heat.own, heat.temp_c
    for second in range(1, 61):
        temp_c += 0.2
        heat = learn(heat, plant.at_s + second, round(temp_c), Load(work, work))
    assert heat.temp_c > temp_c - 1.0


def test_noise_is_no_rise() -> None:
    heat, plant = train(BOARDS[1], 1200)
    work, temp_c, chance, found = heat.own, heat.temp_c, random.Random(5), []
    for second in range(1, 601):
        heat = learn(heat, plant.at_s + second, round(temp_c + chance.gauss(0, 0.5)), Load(work, work))
        found.append(heat.temp_c)
    assert sum(found[60:]) / len(found[60:]) == pytest.approx(temp_c, abs=0.4)


def test_while_the_sensor_does_not_respond_the_model_goes_on_by_the_load() -> None:
    heat, plant = train(BOARDS[0], 3600)
    before_c = plant.chip_c
    for _ in range(25):
        plant.work(1.0)
        heat = learn(heat, plant.at_s, None, Load(1.0, 1.0))
    assert plant.chip_c > before_c + 5.0
    assert heat.temp_c == pytest.approx(plant.chip_c, abs=2.5)
    assert learn(Heat(), 0.0, None, Load(1.0, 1.0)) == Heat()


def warming(watts: float, seconds: int) -> Heat:
    """A cold board with a power meter whose load is there already at the first reading; 1.6 °C for each watt."""
    heat, die_c, sink_c = Heat(), 33.0, 29.0
    for second in range(seconds):
        drive = watts + 3.0 * sin(second / 3.0)
        heat = learn(heat, float(second), round(2 * die_c) / 2, Load(drive, 0.8, in_watts=True))
        sink_c += (25.0 + 1.1 * drive - sink_c) / 140
        die_c += (sink_c + 0.5 * drive - die_c) / 3
    return heat


def test_load_that_has_just_begun_at_the_first_reading_does_not_spoil_the_model() -> None:
    heat = warming(48.0, 300)
    assert -20.0 < heat.gains[0] < 40.0
    assert sum(heat.gains[1:]) == pytest.approx(1.6, abs=0.8)


def test_a_cold_board_under_load_is_expected_to_warm() -> None:
    assert warming(48.0, 1).rise_c(900.0) > 40.0


def test_a_model_of_impossible_weather_starts_from_scratch() -> None:
    heat = replace(warming(20.0, 60), gains=(-80.0, 3.0, 2.0, 2.0))
    heat = learn(heat, 60.0, 40.0, Load(20.0, 0.5, in_watts=True))
    assert heat.gains[0] > -20.0
    assert heat.temp_c == 40.0
