"""A camera's view: which detections are reported, and in which zones they stand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.values import FULL_VIEW, Box, CameraZone, ClassFilter, Detection, Size, View
from appliance.vision import view
from appliance.vision.view import make_view

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
BOTTOM = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))
SIZE = Size(100, 200)


def person(x1: float, y1: float, x2: float, y2: float, confidence: float = 0.9, name: str = "person") -> Detection:
    return Detection(name, 0, confidence, Box(x1, y1, x2, y2))


def test_a_full_view_reports_everything_unchanged() -> None:
    found = (person(0, 0, 10, 10),)
    assert view.apply(FULL_VIEW, found, SIZE) is found
    assert make_view() == FULL_VIEW


@pytest.mark.parametrize("size", [Size(100, 200), Size(1920, 1080), Size(64, 64)])
def test_zones_are_relative_to_the_picture(size: Size) -> None:
    seen = make_view(zones=[CameraZone("left", LEFT), CameraZone("bottom", BOTTOM)])
    w, h = size.width, size.height
    found = view.apply(seen, (person(0.1 * w, 0.3 * h, 0.3 * w, 0.9 * h), person(0.6 * w, 0, 0.9 * w, 0.4 * h)), size)
    assert [one.zones for one in found] == [("left", "bottom"), ()]


def test_an_object_stands_at_the_middle_of_the_lower_edge() -> None:
    seen = make_view(zones=[CameraZone("bottom", BOTTOM)])
    tall, flying = view.apply(seen, (person(0, 0, 10, 101), person(0, 0, 10, 99)), SIZE)
    assert (tall.zones, flying.zones) == (("bottom",), ())


def test_the_edge_of_the_picture_belongs_to_a_zone_that_reaches_it() -> None:
    (found,) = view.apply(make_view(zones=[CameraZone("bottom", BOTTOM)]), (person(0, 50, 200, 200),), SIZE)
    assert found.zones == ("bottom",)


def test_a_zone_can_be_for_some_classes_only() -> None:
    seen = make_view(zones=[CameraZone("left", LEFT, frozenset({"car"}))])
    found = view.apply(seen, (person(0, 0, 10, 10), person(0, 0, 10, 10, name="car")), SIZE)
    assert [one.zones for one in found] == [(), ("left",)]


def test_what_stands_in_a_mask_is_not_reported() -> None:
    seen = make_view(masks=[LEFT])
    inside, outside = person(10, 10, 20, 20), person(60, 10, 70, 20)
    assert view.apply(seen, (inside, outside), SIZE) == (outside,)


def test_without_zones_a_detection_has_no_zones_field() -> None:
    (found,) = view.apply(make_view(masks=[LEFT]), (person(60, 10, 70, 20),), SIZE)
    assert found.zones is None


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        (ClassFilter(min_confidence=0.91), False),
        (ClassFilter(min_confidence=0.9), True),
        (ClassFilter(min_width_px=11), False),
        (ClassFilter(min_height_px=41), False),
        (ClassFilter(min_width_px=10, min_height_px=40), True),
        (ClassFilter(min_share=0.021), False),
        (ClassFilter(min_share=0.02, max_share=0.02), True),
        (ClassFilter(max_share=0.019), False),
    ],
)
def test_a_filter_limits_confidence_and_size(limits: ClassFilter, reported: bool) -> None:
    found = (person(0, 0, 10, 40),)
    for name in ("person", "*"):
        assert bool(view.apply(make_view(filters={name: limits}), found, SIZE)) is reported


def test_a_filter_of_a_class_replaces_the_one_for_all() -> None:
    seen = make_view(filters={"*": ClassFilter(min_confidence=0.99), "person": ClassFilter()})
    found = view.apply(seen, (person(0, 0, 9, 9), person(0, 0, 9, 9, name="car")), SIZE)
    assert [one.name for one in found] == ["person"]


def test_only_the_chosen_classes_are_reported() -> None:
    found = view.apply(make_view(classes=["car"]), (person(0, 0, 9, 9), person(0, 0, 9, 9, name="car")), SIZE)
    assert [one.name for one in found] == ["car"]


def test_different_views_have_different_digests() -> None:
    views = [
        make_view(zones=[CameraZone("a", LEFT)]),
        make_view(zones=[CameraZone("b", LEFT)]),
        make_view(masks=[LEFT]),
    ]
    views += [make_view(masks=[BOTTOM]), make_view(classes=["car"]), make_view(filters={"*": ClassFilter(0.5)}), View()]
    assert len({one.digest for one in views}) == len(views)


@given(st.integers(8, 90), st.integers(8, 90))
def test_a_mask_covers_the_cells_behind_it(rows: int, columns: int) -> None:
    covered = view.covered(make_view(masks=[LEFT]), (rows, columns))
    middles = (np.arange(columns) + 0.5) / columns
    assert covered[:, middles < 0.5 - 1 / columns].all()
    assert not covered[:, middles > 0.5 + 1 / columns].any()


def test_without_masks_no_cell_is_covered() -> None:
    assert not view.covered(make_view(zones=[CameraZone("left", LEFT)]), (4, 4)).any()


def test_a_mask_over_the_whole_picture_covers_all_cells() -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert view.covered(make_view(masks=[everything]), (45, 80)).all()


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=3, max_size=12),
    st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)),
)
def test_a_point_is_in_a_zone_as_opencv_says(outline: list[tuple[float, float]], foot: tuple[float, float]) -> None:
    size = Size(1, 1)
    (found,) = view.apply(
        make_view(zones=[CameraZone("any", tuple(outline))]), (person(foot[0], 0, foot[0], foot[1]),), size
    )  # fmt: skip
    inside = cv2.pointPolygonTest(np.array(outline, np.float32), view.foot_of(found, size), False) >= 0
    assert found.zones == (("any",) if inside else ())
