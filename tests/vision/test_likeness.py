"""How far two networks see the same, on cases that can be worked out on paper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.values import Box, Detection
from appliance.vision import likeness

HERE, THERE = Box(0, 0, 10, 10), Box(100, 100, 120, 120)


def det(box: Box = HERE, confidence: float = 0.9, class_id: int = 0) -> Detection:
    return Detection(str(class_id), class_id, confidence, box)


def test_likeness_counts_boxes_that_only_one_side_has() -> None:
    assert likeness.likeness([[det()]], [[det()]]) == 1
    assert likeness.likeness([[det(), det(THERE)]], [[det()]]) == pytest.approx(2 * 0.5 / 1.5)
    assert likeness.likeness([[det()]], [[]]) == 0
    assert likeness.likeness([[]], [[]]) == 1


def test_a_box_that_crosses_the_line_is_not_lost() -> None:
    assert likeness.likeness([[det(confidence=0.26)]], [[det(confidence=0.24)]]) == 1
    assert likeness.likeness([[det(confidence=0.26)]], [[det(confidence=0.1)]]) == 0


def test_closeness_sees_small_losses() -> None:
    assert likeness.closeness([[det()]], [[det()]]) == 1
    assert likeness.closeness([[det()]], [[det(confidence=0.8)]]) == pytest.approx(0.9)
    assert likeness.closeness([[det()]], [[det(Box(0, 0, 10, 8))]]) == pytest.approx(0.8)


boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *(st.integers(0, 40),) * 2, *(st.integers(1, 40),) * 2)
pictures = st.lists(st.lists(st.builds(det, boxes, st.floats(0.01, 1), st.integers(0, 2)), max_size=6), max_size=3)


@given(pictures)
def test_every_network_is_like_itself(found: list[list[Detection]]) -> None:
    assert likeness.likeness(found, found) == pytest.approx(1)


@given(pictures)
def test_likeness_is_the_same_from_both_sides(found: list[list[Detection]]) -> None:
    other = [picture[1:] for picture in found]
    assert likeness.likeness(found, other) == pytest.approx(likeness.likeness(other, found))


def test_a_class_is_the_same_by_its_name_whatever_its_number() -> None:
    other = Detection("0", 7, 0.9, HERE)
    assert likeness.likeness([[det()]], [[other]]) == 1
