"""What frames cost at each input size, learned while they are processed."""

from __future__ import annotations

import random

import pytest

from appliance.flow.frame_costs import FrameCosts
from appliance.values import Size


def record(costs: FrameCosts, size: Size, engine_s: float, frames: int = 40) -> None:
    for _ in range(frames):
        costs.record(size, engine_s)


def test_the_first_frames_of_a_size_do_not_count() -> None:
    costs = FrameCosts()
    record(costs, Size(640, 384), 2.0, 4)
    record(costs, Size(640, 384), 0.03, 11)
    assert costs.ms() == {}
    record(costs, Size(640, 384), 0.03, 1)
    assert costs.ms() == {640: pytest.approx(50.0)}


def test_cameras_of_any_shape_tell_the_same_about_a_size() -> None:
    wide, tall = FrameCosts(), FrameCosts()
    record(wide, Size(640, 320), 0.02)
    record(tall, Size(480, 640), 0.03)
    assert wide.ms() == {640: pytest.approx(40.0)}
    assert tall.ms() == {640: pytest.approx(40.0)}


def test_another_program_that_slows_some_frames_changes_little() -> None:
    costs, chance = FrameCosts(), random.Random(1)
    for _ in range(400):
        costs.record(Size(512, 512), 0.03 * (2.0 if chance.random() < 0.5 else 1.0))
    assert costs.ms()[512] < 37.0


def test_another_network_has_other_costs() -> None:
    costs = FrameCosts()
    record(costs, Size(640, 640), 0.04)
    costs.forget()
    assert costs.ms() == {}


def test_a_size_that_comes_back_is_measured_again() -> None:
    """What slowed its last frames may be over; until then nothing is known of it."""
    costs = FrameCosts()
    record(costs, Size(640, 640), 0.2)
    record(costs, Size(512, 512), 0.06, 101)
    record(costs, Size(640, 640), 0.1, 15)
    assert costs.ms() == {512: pytest.approx(60.0)}
    record(costs, Size(640, 640), 0.1, 1)
    assert costs.ms()[640] == pytest.approx(100.0)


def test_cameras_of_two_sizes_keep_both_figures() -> None:
    costs = FrameCosts()
    for _ in range(20):
        record(costs, Size(640, 640), 0.2, 1)
        record(costs, Size(512, 512), 0.06, 20)
    assert set(costs.ms()) == {640, 512}
