"""Choosing what to look at in a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from appliance.flow.crops.choose import MOST_CROPS, Costs, LookPlan, best_regions, choose
from appliance.flow.crops.knowledge import Evidence, Knowledge, KnownObject, SceneRequest, nothing
from appliance.values import Box, Detection, ResultFilter, Size
from appliance.vision.picture_features import Grid

PICTURE = Size(1280, 720)
COSTS = Costs(PICTURE, Size(320, 192), 0.32)
STILL = np.zeros((45, 80), np.float32)
REQUEST = SceneRequest(ResultFilter(0.25), PICTURE, Size(640, 384))


def scene(
    evidence: Evidence = Evidence(45, 50, 60), known: tuple[KnownObject, ...] = (), at_s: float = 100.0
) -> Knowledge:
    """A camera that has been looked at everywhere a moment ago."""
    before = nothing(REQUEST, np.zeros((45, 80, 3), np.float32))
    seen_s = np.full((45, 80), at_s, np.float32)
    return replace(before, at_s=at_s, whole_s=at_s, seen_s=seen_s, evidence=evidence, known=known)


def moving(*places: tuple[int, int]) -> Grid:
    """Objects of 3x3 cells that move at these cells (column, row)."""
    changed = STILL.copy()
    for column, row in places:
        changed[row - 1 : row + 2, column - 1 : column + 2] = 1
    return changed


def covers(plan: LookPlan, x: float, y: float) -> bool:
    return any(one.left <= x < one.left + one.width and one.top <= y < one.top + one.height for one in plan.crops)


def test_the_first_frame_runs_as_a_whole() -> None:
    plan = choose(nothing(REQUEST, np.zeros((45, 80, 3), np.float32)), STILL, 100.0, COSTS)
    assert (plan.whole, plan.crops) == (True, ())


def test_a_frame_after_a_pause_runs_as_a_whole() -> None:
    assert choose(scene(), moving((40, 20)), 110.0, COSTS).whole


def test_a_crop_is_where_the_scene_moves_with_the_object_in_its_middle() -> None:
    plan = choose(scene(), moving((60, 30)), 100.1, COSTS)
    assert not plan.whole
    crop = plan.crops[0]
    assert abs(crop.left + crop.width / 2 - 60.5 * 16) <= 48
    assert abs(crop.top + crop.height / 2 - 30.5 * 16) <= 48


def test_an_object_that_stands_still_is_looked_at_again() -> None:
    """Nothing moves, and the whole picture was looked at a moment ago."""
    stopped = KnownObject(Detection("person", 0, 0.8, Box(900, 500, 930, 560)), 97.7, 1.0)
    assert covers(choose(scene(known=(stopped,)), STILL, 100.1, COSTS), 915, 530)


def test_every_place_is_looked_at_in_the_end_even_if_nothing_ever_moves() -> None:
    now, seen, at_s = scene(), np.zeros((45, 80), bool), 100.0
    for _ in range(200):
        at_s += 0.1
        plan = choose(now, STILL, at_s, COSTS)
        seen_s = now.seen_s.copy()
        for one in plan.crops:
            rows = slice(round(one.top / 16), round((one.top + one.height) / 16))
            columns = slice(round(one.left / 16), round((one.left + one.width) / 16))
            seen[rows, columns], seen_s[rows, columns] = True, at_s
        now = replace(plan.before, at_s=at_s, seen_s=seen_s, whole_s=at_s if plan.whole else now.whole_s)
    assert seen.all()


def test_where_the_whole_picture_shows_all_objects_and_they_move_everywhere_no_crops_are_used() -> None:
    places = [(column, row) for column in (8, 24, 40, 56, 72) for row in (8, 22, 36)]
    known = tuple(
        KnownObject(Detection("person", 0, 0.8, Box(x * 16 - 16, y * 16 - 16, x * 16 + 32, y * 16 + 32)), 100.0, 0.5)
        for x, y in places
    )
    plan = choose(replace(scene(Evidence(1, 50, 60), known), wholes=1), moving(*places), 100.1, COSTS)
    assert (plan.whole, plan.crops) == (True, ())
    assert plan.before.rest > 0


def test_where_only_crops_show_the_objects_they_are_used_although_some_are_missed() -> None:
    assert not choose(scene(), moving((8, 8), (72, 8), (8, 36), (72, 36), (40, 20)), 100.1, COSTS).whole


def test_objects_that_move_too_fast_to_wait_for_the_next_look_are_missed_now() -> None:
    """Two objects that the whole picture shows too, for which one crop a frame is enough if they are slow."""
    places = [(12, 20), (68, 20)]
    known = tuple(
        KnownObject(Detection("person", 0, 0.8, Box(x * 16 - 16, y * 16 - 16, x * 16 + 32, y * 16 + 32)), 100.0, 0.5)
        for x, y in places
    )
    slow = Evidence(10, 50, 60, again=10, moved=1)
    assert not choose(scene(slow, known), moving(*places), 100.1, COSTS).whole
    assert choose(scene(replace(slow, moved=9), known), moving(*places), 100.1, COSTS).whole


def test_a_change_of_the_whole_picture_is_not_for_crops() -> None:
    assert choose(scene(), np.ones((45, 80), np.float32), 100.1, COSTS).whole


def test_a_place_that_always_moves_and_never_shows_an_object_counts_less() -> None:
    tree, person = (10, 10), (70, 35)
    barren = STILL.copy()
    barren[5:16, 4:17] = 1
    plan = choose(replace(scene(), barren=barren), moving(tree, person), 100.1, COSTS)
    assert covers(plan, 70 * 16, 35 * 16)


def test_without_audits_the_whole_picture_is_never_looked_at_together_with_crops() -> None:
    now = scene()
    for number in range(100):
        plan = choose(now, moving((60, 30)), 100.1 + number / 10, COSTS, audits=False)
        assert not (plan.whole and plan.crops)
        now = replace(plan.before, at_s=100.1 + number / 10)


@given(st_numpy.arrays(np.float32, (45, 80), elements=st.floats(0, 1, width=32)))
@settings(max_examples=30, deadline=None)
def test_regions_have_the_size_of_a_crop_and_lie_in_the_picture(value: Grid) -> None:
    regions = best_regions(value, COSTS)
    assert 1 <= len(regions) <= MOST_CROPS
    for one in regions:
        assert (one.width, one.height) == (320, 192)
        assert 0 <= one.left <= PICTURE.width - one.width
        assert 0 <= one.top <= PICTURE.height - one.height


@given(st.lists(st.lists(st.tuples(st.integers(2, 77), st.integers(2, 42)), max_size=6), min_size=60, max_size=60))
@settings(max_examples=15, deadline=None)
def test_frames_with_crops_keep_to_the_budget_and_each_is_looked_at(movements: list[list[tuple[int, int]]]) -> None:
    now, spent = scene(), 0.0
    for number, places in enumerate(movements):
        at_s = 100.1 + number / 10
        plan = choose(now, moving(*places), at_s, COSTS)
        cost = plan.whole + COSTS.part * (plan.overview + len(plan.crops))
        assert cost > 0
        spent += cost
        now = replace(plan.before, at_s=at_s, whole_s=at_s if plan.whole else now.whole_s)
    assert spent <= COSTS.budget * len(movements) + 2
