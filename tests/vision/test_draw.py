"""Drawing boxes and labels on an image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.values import Box, Detection
from appliance.vision.draw import draw_detections

BLACK = np.zeros((200, 300, 3), np.uint8)


def found(box: Box, class_id: int = 0, name: str = "car") -> Detection:
    return Detection(name, class_id, 0.83, box)


def test_a_box_is_drawn_in_place_on_a_copy() -> None:
    drawn = draw_detections(BLACK, [found(Box(100, 80, 200, 160))])
    assert not BLACK.any()
    assert drawn.shape == BLACK.shape
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert abs(columns.min() - 100) <= 1
    assert abs(columns.max() - 200) <= 1
    assert abs(rows.max() - 160) <= 1
    assert not drawn[90:155, 110:190].any()
    assert drawn[120, 100].any()
    assert drawn[120, 200].any()


def test_each_class_has_its_own_colour() -> None:
    one, other = (draw_detections(BLACK, [found(Box(100, 80, 200, 160), number)])[160, 150] for number in (0, 1))
    assert (one != other).any()


def test_the_most_confident_detection_is_on_top() -> None:
    sure, doubtful = found(Box(100, 80, 200, 160), 0), found(Box(100, 80, 200, 160), 1)
    both = draw_detections(BLACK, [sure, doubtful])
    label = both[79, 101]
    assert (label == draw_detections(BLACK, [sure])[79, 101]).all()
    assert (label != draw_detections(BLACK, [doubtful])[79, 101]).any()


def test_without_detections_the_image_is_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    assert (draw_detections(image, []) == image).all()


sides = st.integers(1, 120)
places = st.floats(-300, 300)


@given(sides, sides, st.lists(st.tuples(places, places, places, places), max_size=4), st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_box_can_be_drawn_on_any_image(
    width: int, height: int, boxes: list[tuple[float, float, float, float]], name: str
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    drawn = draw_detections(image, [found(Box(*corners), number, name) for number, corners in enumerate(boxes)])
    assert drawn.shape == image.shape
