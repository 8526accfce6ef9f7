"""The load of one reading, in the unit of the heat model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.governor.heat import Heat, Load, learn
from appliance.governor.load import load_of, used_by_others
from appliance.readings import Cpu, Power, Reading

MODEL_OF_USE = learn(Heat(), 0.0, 50.0, Load(0.5, 0.5))
MODEL_OF_POWER = learn(Heat(), 0.0, 50.0, Load(8.0, 0.5, in_watts=True))


def seen(cpu: Cpu | None = None, **watts: float) -> Reading:
    return Reading(1.0, cpu=cpu or Cpu(percent=60.0, own_percent=50.0), power=Power(watts=watts))


def test_the_load_is_the_power_of_the_largest_rail_where_that_is_measured() -> None:
    load, _ = load_of(
        seen(cpu=Cpu(percent=60.0, own_percent=50.0, gpu_percent=30.0), core=3.0, input=7.0), Heat(), 1.0, 1.0, 0.0
    )
    assert (load.drive, load.in_watts, load.own) == (7.0, True, 0.5)


def test_otherwise_it_is_the_use_of_cpu_and_gpu() -> None:
    load, _ = load_of(seen(cpu=Cpu(percent=60.0, own_percent=50.0, gpu_percent=30.0)), Heat(), 1.0, 1.0, 0.0)
    assert load.drive == pytest.approx(0.9)
    assert (load.in_watts, load.own) == (False, 0.5)


def test_without_either_the_duty_stands_for_it() -> None:
    load, _ = load_of(seen(cpu=Cpu()), Heat(), duty=0.5, full=0.8, other_unit_s=0.0)
    assert load.drive == load.own == pytest.approx(0.4)
    assert load.idle == 1.0


def test_a_power_that_is_missing_for_a_moment_is_computed_from_what_was_used_since() -> None:
    busier = replace(seen().cpu, own_percent=60.0)
    load, other_unit_s = load_of(seen(cpu=busier), MODEL_OF_POWER, 1.0, 1.0, 5.0)
    assert load.in_watts
    assert load.drive == pytest.approx(8.0 + 0.1 * MODEL_OF_POWER.drive_per_own)
    assert other_unit_s == 5.0


def test_a_power_that_is_there_for_a_moment_is_not_used() -> None:
    load, other_unit_s = load_of(seen(input=7.0), MODEL_OF_USE, 1.0, 1.0, 5.0)
    assert (load.in_watts, other_unit_s) == (False, 5.0)


@pytest.mark.parametrize(("reading", "model"), [(seen(input=7.0), MODEL_OF_USE), (seen(), MODEL_OF_POWER)])
def test_a_board_that_goes_on_in_the_other_unit_is_believed(reading: Reading, model: Heat) -> None:
    load, other_unit_s = load_of(reading, model, 1.0, 1.0, 60.0)
    assert (load.in_watts, other_unit_s) == (not model.in_watts, 0.0)


@pytest.mark.parametrize(
    ("cpu", "others"),
    [(Cpu(percent=60.0, own_percent=50.0), 0.1), (Cpu(percent=40.0, own_percent=50.0), 0.0), (Cpu(percent=60.0), None)],
)
def test_what_others_use_is_known_if_both_are(cpu: Cpu, others: float | None) -> None:
    assert used_by_others(cpu) == (others if others is None else pytest.approx(others))
