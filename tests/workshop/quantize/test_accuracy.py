"""Average precision, on cases that can be worked out on paper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.values import Box, Detection
from appliance.workshop.quantize import accuracy
from appliance.workshop.quantize.accuracy import Label

HERE, THERE = Box(0, 0, 10, 10), Box(100, 100, 120, 120)


def det(box: Box = HERE, confidence: float = 0.9, class_id: int = 0) -> Detection:
    return Detection(str(class_id), class_id, confidence, box)


def test_finding_everything_and_nothing_else_is_one() -> None:
    assert accuracy.mean_average_precision([[det()], [det(THERE)]], [[Label(0, HERE)], [Label(0, THERE)]]) == 1


def test_finding_nothing_is_zero_and_so_is_nothing_to_find() -> None:
    assert accuracy.mean_average_precision([[]], [[Label(0, HERE)]]) == 0
    assert accuracy.mean_average_precision([[det()]], [[]]) == 0


def test_half_of_the_objects_give_half_of_the_101_recalls() -> None:
    found = accuracy.mean_average_precision([[det()]], [[Label(0, HERE), Label(0, THERE)]])
    assert found == pytest.approx(51 / 101)


def test_a_surer_wrong_box_halves_the_precision() -> None:
    assert accuracy.mean_average_precision([[det(THERE, 0.95), det()]], [[Label(0, HERE)]]) == pytest.approx(0.5)


def test_a_less_sure_wrong_box_costs_nothing() -> None:
    assert accuracy.mean_average_precision([[det(THERE, 0.1), det()]], [[Label(0, HERE)]]) == 1


def test_an_object_is_found_once() -> None:
    twice = [[det(HERE, 0.9), det(HERE, 0.8), det(THERE, 0.7)]]
    found = accuracy.mean_average_precision(twice, [[Label(0, HERE), Label(0, THERE)]])
    assert found == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_loose_box_counts_up_to_its_overlap() -> None:
    """IoU 0.8: right at 0.50, 0.55 … 0.80, that is at seven of the ten."""
    assert accuracy.mean_average_precision([[det(Box(0, 0, 10, 8))]], [[Label(0, HERE)]]) == pytest.approx(0.7)


def test_classes_count_alike_however_rare() -> None:
    truth = [[Label(0, HERE), Label(0, THERE), Label(1, Box(50, 50, 60, 60))]]
    assert accuracy.mean_average_precision([[det(HERE), det(THERE)]], truth) == pytest.approx(0.5)


def test_the_other_class_in_the_same_place_is_wrong() -> None:
    assert accuracy.mean_average_precision([[det(class_id=1)]], [[Label(0, HERE)]]) == 0


boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *(st.integers(0, 40),) * 2, *(st.integers(1, 40),) * 2)
pictures = st.lists(st.lists(st.builds(det, boxes, st.floats(0.01, 1), st.integers(0, 2)), max_size=6), max_size=3)


@given(pictures)
def test_what_finds_exactly_what_is_there_has_a_precision_of_one(found: list[list[Detection]]) -> None:
    truth = [[Label(one.class_id, one.box_px) for one in picture] for picture in found]
    assert accuracy.mean_average_precision(found, truth) == pytest.approx(1 if any(truth) else 0)
