"""Merging what was found in the windows of a picture."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.flow.crops.knowledge import KnownObject
from appliance.flow.crops.merge import Look, merge
from appliance.values import Box, Detection, Size
from appliance.vision.letterbox import fit
from appliance.vision.window import PicturePart

PICTURE = Size(1280, 720)
CROP = Size(320, 192)


def person(x1: float, y1: float, x2: float, y2: float, confidence: float = 0.8, class_id: int = 0) -> Detection:
    return Detection("person" if class_id == 0 else "car", class_id, confidence, Box(x1, y1, x2, y2))


def crop(left: int, top: int) -> PicturePart:
    return PicturePart(left, top, fit(CROP, CROP))


def overview() -> PicturePart:
    return PicturePart(0, 0, fit(PICTURE, CROP))


def test_a_box_cut_by_the_edge_of_a_crop_gives_way_to_the_overview() -> None:
    whole, cut = person(500, 200, 700, 500), person(500, 200, 620, 392)
    merged = merge((), [Look(overview(), (whole,)), Look(crop(300, 200), (cut,))], 5.0, PICTURE)
    assert [one.detection for one in merged] == [whole]


def test_a_box_cut_by_the_edge_of_a_crop_gives_way_to_the_neighbour() -> None:
    whole, cut = person(600, 250, 640, 330), person(600, 250, 620, 330)
    looks = [Look(crop(300, 200), (cut,)), Look(crop(500, 200), (whole,))]
    assert [one.detection for one in merge((), looks, 5.0, PICTURE)] == [whole]


def test_a_box_at_the_edge_of_the_picture_is_not_cut() -> None:
    one = person(0, 100, 40, 150)
    assert [found.detection for found in merge((), [Look(crop(0, 0), (one,))], 5.0, PICTURE)] == [one]


def test_the_finer_of_two_boxes_of_one_object_counts() -> None:
    coarse, fine = person(400, 300, 440, 380, 0.9), person(402, 301, 439, 379, 0.6)
    merged = merge((), [Look(overview(), (coarse,)), Look(crop(300, 250), (fine,))], 5.0, PICTURE)
    assert [one.detection for one in merged] == [fine]


def test_an_object_that_has_left_the_crop_is_gone() -> None:
    before = KnownObject(person(400, 300, 440, 380), 4.0, 1.0)
    assert merge([before], [Look(crop(300, 250), ())], 5.0, PICTURE) == ()


def test_an_overview_does_not_remove_what_it_is_too_coarse_to_show() -> None:
    small, large = KnownObject(person(400, 300, 420, 340), 4.0, 1.0), KnownObject(person(100, 100, 500, 600), 4.0, 1.0)
    assert merge([small, large], [Look(overview(), ())], 5.0, PICTURE) == (small,)


def test_an_object_that_moved_into_a_crop_is_reported_once() -> None:
    before, now = KnownObject(person(290, 300, 330, 380), 4.0, 1.0), person(305, 300, 345, 380)
    merged = merge([before], [Look(crop(300, 250), (now,))], 5.0, PICTURE)
    assert [one.detection for one in merged] == [now]


def test_two_people_in_one_look_are_both_reported() -> None:
    front, behind = person(400, 300, 440, 380), person(405, 302, 445, 384)
    assert len(merge((), [Look(crop(300, 250), (front, behind))], 5.0, PICTURE)) == 2


@st.composite
def boxes(draw: st.DrawFn, inside: Box) -> Detection:
    x, y = draw(st.floats(inside.x1, inside.x2 - 8)), draw(st.floats(inside.y1, inside.y2 - 8))
    x2, y2 = draw(st.floats(x + 4, inside.x2)), draw(st.floats(y + 4, inside.y2))
    return person(x, y, x2, y2, draw(st.floats(0.25, 1)), draw(st.integers(0, 1)))


@st.composite
def looks(draw: st.DrawFn) -> list[Look]:
    windows = [
        crop(draw(st.integers(0, PICTURE.width - CROP.width)), draw(st.integers(0, PICTURE.height - CROP.height)))
        for _ in range(draw(st.integers(0, 3)))
    ]
    windows += [overview()] * draw(st.integers(0, 1))
    return [Look(window, tuple(draw(st.lists(boxes(window.box_px), max_size=6)))) for window in windows]


@st.composite
def earlier(draw: st.DrawFn) -> list[KnownObject]:
    found = draw(st.lists(boxes(Box(0, 0, PICTURE.width, PICTURE.height)), max_size=8))
    return [KnownObject(one, draw(st.floats(0, 4.9)), draw(st.sampled_from((0.25, 0.5, 1.0)))) for one in found]


@given(earlier(), looks())
@settings(max_examples=60, deadline=None)
def test_merging_invents_nothing_and_repeating_it_changes_nothing(known: list[KnownObject], seen: list[Look]) -> None:
    merged = merge(known, seen, 5.0, PICTURE)
    possible = [one.detection for one in known] + [one for look in seen for one in look.found]
    assert all(one.detection in possible for one in merged)
    assert list(merged) == sorted(merged, key=lambda one: -one.detection.confidence)
    assert set(merge(merged, seen, 5.0, PICTURE)) >= {one for one in merged if one.seen_s == 5.0}


@given(earlier(), looks())
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_where_nobody_looked(known: list[KnownObject], seen: list[Look]) -> None:
    """What no window touches, and no known object overlaps, is still known."""
    merged = merge(known, seen, 5.0, PICTURE)
    for one in known:
        box = one.detection.box_px
        others = [other.detection.box_px for other in known if other is not one]
        others += [look.window.box_px for look in seen]
        if not any(box.x1 < a.x2 and a.x1 < box.x2 and box.y1 < a.y2 and a.y1 < box.y2 for a in others):
            assert one in merged
