"""Agreement between two networks, on cases that can be computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.values import Box, Detection
from appliance.vision import likeness

HERE, THERE = Box(0, 0, 10, 10), Box(100, 100, 120, 120)


def det(box: Box = HERE, confidence: float = 0.9, class_id: int = 0) -> Detection:
    return Detection(str(class_id), class_id, confidence, box)


def test_boxes_of_only_one_network_reduce_likeness() -> None:
    assert likeness.likeness([[det()]], [[det()]]) == 1
    assert likeness.likeness([[det(), det(THERE)]], [[det()]]) == pytest.approx(2 * 0.5 / 1.5)
    assert likeness.likeness([[det()]], [[]]) == 0
    assert likeness.likeness([[]], [[]]) == 1


def test_a_box_just_below_the_minimum_confidence_still_matches() -> None:
    assert likeness.likeness([[det(confidence=0.26)]], [[det(confidence=0.24)]]) == 1
    assert likeness.likeness([[det(confidence=0.26)]], [[det(confidence=0.1)]]) == 0


def test_closeness_reflects_small_losses() -> None:
    assert likeness.closeness([[det()]], [[det()]]) == 1
    assert likeness.closeness([[det()]], [[det(confidence=0.8)]]) == pytest.approx(0.9)
    assert likeness.closeness([[det()]], [[det(Box(0, 0, 10, 8))]]) == pytest.approx(0.8)


boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *(st.integers(0, 40),) * 2, *(st.integers(1, 40),) * 2)
pictures = st.lists(st.lists(st.builds(det, boxes, st.floats(0.01, 1), st.integers(0, 2)), max_size=6), max_size=3)


@given(pictures)
def test_every_network_agrees_with_itself(found: list[list[Detection]]) -> None:
    assert likeness.likeness(found, found) == pytest.approx(1)


@given(pictures)
def test_likeness_is_symmetric(found: list[list[Detection]]) -> None:
    other = [picture[1:] for picture in found]
    assert likeness.likeness(found, other) == pytest.approx(likeness.likeness(other, found))


def test_classes_match_by_name_not_by_number() -> None:
    other = Detection("0", 7, 0.9, HERE)
    assert likeness.likeness([[det()]], [[other]]) == 1
