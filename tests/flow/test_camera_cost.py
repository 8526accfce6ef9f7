"""The cost of a frame is known at every input size as soon as it is known at one."""

from __future__ import annotations

import pytest

from appliance.flow.camera_cost import CameraCost


def test_a_size_that_was_not_used_counts_by_its_area() -> None:
    cost = CameraCost()
    assert cost.at(640) is None
    cost.note(640, 0.04)
    assert cost.at(640) == 0.04
    assert cost.at(320) == pytest.approx(0.01)


def test_each_size_is_learned_and_kept() -> None:
    cost = CameraCost()
    cost.note(640, 0.04)
    for _ in range(100):
        cost.note(320, 0.02)
    assert cost.at(640) == 0.04
    assert cost.at(320) == pytest.approx(0.02, rel=0.01)


def test_the_number_of_sizes_is_bounded() -> None:
    cost = CameraCost()
    for side in range(64, 1064):
        cost.note(side, 0.01)
    assert len(cost._costs_s) <= 16
