"""Average precision in cases that can be computed by hand."""

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


def test_finding_all_objects_and_nothing_else_gives_one() -> None:
    assert accuracy.mean_average_precision([[det()], [det(THERE)]], [[Label(0, HERE)], [Label(0, THERE)]]) == 1


def test_no_detections_and_no_labels_give_zero() -> None:
    assert accuracy.mean_average_precision([[]], [[Label(0, HERE)]]) == 0
    assert accuracy.mean_average_precision([[det()]], [[]]) == 0


def test_half_of_the_objects_give_half_of_the_recalls() -> None:
    found = accuracy.mean_average_precision([[det()]], [[Label(0, HERE), Label(0, THERE)]])
    assert found == pytest.approx(51 / 101)


def test_a_wrong_box_with_higher_confidence_halves_the_precision() -> None:
    assert accuracy.mean_average_precision([[det(THERE, 0.95), det()]], [[Label(0, HERE)]]) == pytest.approx(0.5)


def test_a_wrong_box_with_lower_confidence_costs_nothing() -> None:
    assert accuracy.mean_average_precision([[det(THERE, 0.1), det()]], [[Label(0, HERE)]]) == 1


def test_an_object_is_matched_once() -> None:
    twice = [[det(HERE, 0.9), det(HERE, 0.8), det(THERE, 0.7)]]
    found = accuracy.mean_average_precision(twice, [[Label(0, HERE), Label(0, THERE)]])
    assert found == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_counts_up_to_its_overlap() -> None:
    """IoU 0.8 is a match at 0.50, 0.55 … 0.80, seven of the ten thresholds."""
    assert accuracy.mean_average_precision([[det(Box(0, 0, 10, 8))]], [[Label(0, HERE)]]) == pytest.approx(0.7)


def test_rare_classes_have_the_same_weight() -> None:
    truth = [[Label(0, HERE), Label(0, THERE), Label(1, Box(50, 50, 60, 60))]]
    assert accuracy.mean_average_precision([[det(HERE), det(THERE)]], truth) == pytest.approx(0.5)


def test_another_class_in_the_same_place_is_wrong() -> None:
    assert accuracy.mean_average_precision([[det(class_id=1)]], [[Label(0, HERE)]]) == 0


boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *(st.integers(0, 40),) * 2, *(st.integers(1, 40),) * 2)
pictures = st.lists(st.lists(st.builds(det, boxes, st.floats(0.01, 1), st.integers(0, 2)), max_size=6), max_size=3)


@given(pictures)
def test_detections_equal_to_the_labels_have_a_precision_of_one(found: list[list[Detection]]) -> None:
    truth = [[Label(one.class_id, one.box_px) for one in picture] for picture in found]
    assert accuracy.mean_average_precision(found, truth) == pytest.approx(1 if any(truth) else 0)
