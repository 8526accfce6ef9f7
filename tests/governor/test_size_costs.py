"""What a frame costs at each size, whatever the device's speed was when it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from appliance.governor.size_costs import SizeCosts, next_costs

LADDER = {640: 1.0, 512: 0.632, 416: 0.441}
TRUE_MS = {640: 100.0, 512: 75.0, 416: 40.0}


class Device:
    """Measures the size that is in use, as the service does; figures of other sizes stay what they were."""

    def __init__(self) -> None:
        self.costs, self.figures_ms, self.at_s = SizeCosts(), dict[int, float](), 0.0

    def use(self, side: int, seconds: int, slower: float = 1.0, others: float = 0.0) -> Mapping[int, float]:
        for _ in range(seconds):
            found_ms = TRUE_MS[side] * slower
            self.figures_ms[side] = 0.9 * self.figures_ms.get(side, found_ms) + 0.1 * found_ms
            self.at_s += 1.0
            self.costs = next_costs(self.costs, dict(self.figures_ms), side, LADDER, others, self.at_s)
        return self.costs.ms


def ratios(found_ms: Mapping[int, float], sides: Iterable[int]) -> list[float]:
    return [found_ms[side] / found_ms[640] for side in sides]


def test_costs_are_those_that_were_measured() -> None:
    device = Device()
    for side in (640, 512, 416, 640):
        found_ms = device.use(side, 300)
    assert ratios(found_ms, (512, 416)) == pytest.approx([0.75, 0.4], rel=0.05)


def test_sizes_that_are_measured_at_different_speeds_are_compared_at_one() -> None:
    """640 px was measured while another program used the CPU; the program ended while 512 px was in use."""
    device = Device()
    device.use(640, 300, 2.0, 1.0)
    device.use(512, 60, 2.0, 1.0)
    found_ms = device.use(512, 300)
    assert device.figures_ms[640] == pytest.approx(200.0)
    assert found_ms[512] == pytest.approx(75.0, rel=0.02)
    assert ratios(found_ms, (512,)) == pytest.approx([0.75], rel=0.1)


def test_another_program_that_ends_while_no_frame_is_measured_explains_a_change() -> None:
    device = Device()
    device.use(640, 300, 2.0, 1.0)
    device.at_s += 120.0
    assert ratios(device.use(512, 60), (512,)) == pytest.approx([0.632], rel=0.1)


def test_a_size_that_comes_back_is_not_judged_by_its_old_figure() -> None:
    device = Device()
    for side in (640, 512, 640, 512):
        device.use(side, 200)
    device.use(512, 600, 2.0)
    found_ms = device.use(640, 5, 2.0)
    assert ratios(found_ms, (512,)) == pytest.approx([0.75], rel=0.05)
    assert ratios(device.use(640, 300, 2.0), (512,)) == pytest.approx([0.75], rel=0.05)


def test_what_was_found_of_an_unused_size_is_forgotten_within_hours() -> None:
    device = Device()
    device.use(512, 300)
    found_ms = device.use(640, 300)
    assert ratios(found_ms, (512,)) == pytest.approx([0.75], rel=0.05)
    device.at_s += 8 * 3600.0
    assert ratios(device.use(640, 60), (512,))[0] < 0.71, "on the way back to 0.632"


def test_another_network_starts_from_scratch() -> None:
    device = Device()
    device.use(640, 60)
    assert next_costs(device.costs, {}, 640, LADDER, 0.0, 61.0).ms == {}


def test_a_ladder_of_other_sizes_forgets_sizes_that_it_lacks() -> None:
    device = Device()
    device.use(512, 60)
    device.use(640, 60)
    assert set(next_costs(device.costs, {640: 100.0, 512: 75.0}, 640, {640: 1.0}, 0.0, 121.0).ms) == {640}
