"""From detections to events: one start and one end of each object."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.events.object_event import ObjectEvent
from appliance.events.objects import MOST_OBJECTS
from appliance.values import Box, Detection, Size, Track
from tests.events.sights import RULES, follower, person, run, sight


def kinds(events: list[ObjectEvent]) -> list[str]:
    return [event.kind for event in events]


def test_an_object_starts_and_ends_once() -> None:
    frames = [sight(t, person(100 + 80 * t)) for t in range(10)] + [sight(10 + t) for t in range(10)]
    start, end = run(follower(), frames)
    assert (start.kind, end.kind, end.reason) == ("start", "end", "left")
    assert start.object_id == end.object_id
    assert start.began == end.began == 1_700_000_000
    assert end.at == 1_700_000_009
    assert end.duration_s == 9
    assert (start.camera, start.name, start.image_size) == ("gate", "person", Size(1280, 720))


def test_what_is_seen_once_is_no_event() -> None:
    assert run(follower(), [sight(0, person()), *(sight(t) for t in range(1, 20))]) == []


def test_with_no_delay_the_first_sight_starts() -> None:
    assert kinds(run(follower(replace(RULES, on_delay_s=0)), [sight(0, person())])) == ["start"]


def test_an_uncertain_object_starts_when_its_median_is_high_enough() -> None:
    frames = [sight(t, person(confidence=c)) for t, c in enumerate((0.4, 0.3, 0.9, 0.8, 0.7))]
    events = run(follower(), frames)
    assert kinds(events) == ["start"]
    assert events[0].at == 1_700_000_004
    assert events[0].confidence == 0.7
    assert events[0].top_confidence == 0.9


@given(st.lists(st.integers(50, 100), min_size=3, max_size=30))
def test_the_confidence_is_the_median_over_the_life(hundredths: list[int]) -> None:
    rules = replace(RULES, on_delay_s=0, min_confidence=0)
    follows = follower(rules)
    run(follows, [sight(t, person(confidence=c / 100)) for t, c in enumerate(hundredths)])
    (end,) = follows.close("device_stopped")
    assert end.confidence == sorted(hundredths)[(len(hundredths) - 1) // 2] / 100


def test_a_short_gap_does_not_end_it() -> None:
    frames = [sight(0, person()), sight(1, person()), *(sight(t) for t in (2, 3, 4)), sight(5, person()), sight(6)]
    assert kinds(run(follower(), frames)) == ["start"]


@pytest.mark.parametrize("every_s", [6.0, 8.0, 25.0])
def test_one_frame_without_it_ends_no_object_however_slow_the_camera(every_s: float) -> None:
    """A hot device asks for a frame every eight seconds, and the network misses a parked car in one of five."""
    frames = [sight(every_s * n, *([] if n % 5 == 4 else [person(class_id=1)])) for n in range(40)]
    frames += [sight(every_s * n) for n in range(40, 43)]
    events = [event for event in run(follower(), frames) if event.kind != "update"]
    assert kinds(events) == ["start", "end"]
    assert events[-1].at == 1_700_000_000 + 38 * every_s


def test_without_a_delay_the_first_frame_without_it_ends_an_object() -> None:
    events = run(follower(replace(RULES, on_delay_s=0, off_delay_s=0)), [sight(0, person()), sight(1), sight(2)])
    assert kinds(events) == ["start", "end"]


def test_two_objects_of_a_class_are_told_apart_by_place() -> None:
    frames = [sight(t, person(100 + 20 * t), person(1000 - 20 * t)) for t in range(20)]
    frames += [sight(20 + t) for t in range(7)]
    events = run(follower(), frames)
    assert Counter(kinds(events)) == {"start": 2, "update": 2, "end": 2}
    ends = {event.object_id: event.box_px.x1 for event in events if event.kind == "end"}
    starts = {event.object_id: event.box_px.x1 for event in events if event.kind == "start"}
    assert all((starts[one] < 520) == (ends[one] < 520) for one in starts)


def test_an_object_of_another_class_at_the_same_place_is_another_object() -> None:
    events = run(follower(), [sight(t, person(), person(class_id=2)) for t in range(3)])
    assert {event.name for event in events} == {"person", "dog"}


def test_another_model_gives_its_numbers_to_other_classes_and_the_objects_keep_theirs() -> None:
    """A model of one's own has other classes under the numbers of COCO's."""
    before, renumbered = person(), replace(person(), class_id=7)
    helmet = replace(person(), name="helmet")
    assert kinds(run(follower(), [sight(t, before if t < 2 else renumbered) for t in range(9)])) == ["start"]
    events = run(follower(), [sight(t, before if t < 2 else helmet) for t in range(9)])
    assert [(event.kind, event.name) for event in events] == [
        ("start", "person"),
        ("start", "helmet"),
        ("end", "person"),
    ]


def test_what_appears_out_of_reach_is_another_object() -> None:
    frames = [sight(0, person(100)), sight(1, person(100)), sight(2, person(1200)), sight(3, person(1200))]
    assert kinds(run(follower(), frames)) == ["start", "start"]


def test_a_change_of_resolution_is_no_movement() -> None:
    small = replace(person(), box_px=Box(285, 170, 315, 250))
    frames = [sight(0, person()), sight(1, person()), sight(2, small, size=Size(640, 360)), sight(3)]
    assert kinds(run(follower(), frames)) == ["start"]


def test_zones_are_entered_and_left_with_the_second_sight_in_a_row() -> None:
    places = [
        ("street",),
        ("street",),
        ("yard",),
        ("street",),
        ("yard",),
        ("yard",),
        ("yard", "door"),
        ("yard", "door"),
    ]
    events = run(follower(), [sight(t, person(zones=zones)) for t, zones in enumerate(places)])
    reported = [(event.kind, event.zones, event.entered, event.left) for event in events]
    assert reported == [
        ("start", ("street",), ("street",), ()),
        ("update", ("yard",), ("yard",), ("street",)),
        ("update", ("yard", "door"), ("door",), ()),
    ]


def test_dwell_counts_the_time_in_each_zone() -> None:
    follows = follower(replace(RULES, on_delay_s=0))
    run(follows, [sight(t, person(zones=("yard",) if t < 5 else ())) for t in range(10)])
    (end,) = follows.close("device_stopped")
    assert dict(end.dwell_s) == {"yard": 6}  # it has left with the second sight outside
    follows = follower(replace(RULES, on_delay_s=0))
    run(follows, [sight(t, person(zones=("yard",))) for t in range(10)])
    (end,) = follows.close("device_stopped")
    assert (end.zones, end.left, dict(end.dwell_s)) == ((), ("yard",), {"yard": 9})


def test_updates_come_at_their_interval() -> None:
    frames = [sight(t, person()) for t in range(32)]
    assert kinds(run(follower(), frames)) == ["start", "update", "update", "update"]
    assert kinds(run(follower(replace(RULES, update_s=0)), frames)) == ["start"]


@pytest.mark.parametrize(("interval_s", "silent_s"), [(1, 30), (60, 180)])
def test_objects_of_a_silent_camera_end_once(interval_s: float, silent_s: float) -> None:
    follows = follower(replace(RULES, on_delay_s=0))
    last_s = 2 * interval_s
    run(follows, [sight(t * interval_s, person()) for t in range(3)])
    assert follows.silent(last_s + silent_s - 1) == []
    (end,) = follows.silent(last_s + silent_s)
    assert (end.kind, end.reason) == ("end", "camera_silent")
    assert follows.silent(last_s + 10 * silent_s) == []


def test_frames_that_overtake_each_other_do_no_harm() -> None:
    frames = [sight(0, person()), sight(2, person()), sight(1, person()), sight(3, person()), sight(9), sight(10)]
    start, end = run(follower(), frames)
    assert (start.kind, end.kind, end.duration_s) == ("start", "end", 3)


def test_the_number_of_objects_is_bounded() -> None:
    follows = follower(replace(RULES, on_delay_s=0))
    for t in range(5):
        run(follows, [sight(t, *(person(10 * n + 3000 * t, 500 * t) for n in range(300)))])
        assert len(follows) <= MOST_OBJECTS


Life = tuple[float, list[tuple[int, int, int, int, set[str]]]]

lives = st.lists(
    st.tuples(
        st.floats(0.05, 4),
        st.lists(
            st.tuples(
                st.integers(0, 1280),
                st.integers(160, 720),
                st.integers(0, 100),
                st.integers(0, 2),
                st.sets(st.sampled_from(("a", "b"))),
            ),
            max_size=6,
        ),
    ),
    max_size=40,
)


@given(lives, st.sampled_from([0.0, 0.5, 2.0]))
@settings(deadline=None, max_examples=50)
def test_whatever_is_seen_each_start_has_one_end_and_zones_add_up(lives: list[Life], on_delay_s: float) -> None:
    follows = follower(replace(RULES, on_delay_s=on_delay_s, min_confidence=0.3))
    at_s, events = 0.0, list[ObjectEvent]()
    for step_s, seen in lives:
        at_s += step_s
        found = [person(x, y, c / 100, tuple(sorted(zones)), k) for x, y, c, k, zones in seen]
        events += follows.see(sight(at_s, *found))
        events += follows.silent(at_s)
    events += follows.close("device_stopped")
    counts = Counter((event.object_id, event.kind) for event in events)
    for event in events:
        assert counts[event.object_id, "start"] == counts[event.object_id, "end"] == 1
        assert 0 <= event.confidence <= event.top_confidence + 0.005
        assert event.duration_s >= 0
    zones: dict[str, set[str]] = {}
    for event in events:
        inside = zones.setdefault(event.object_id, set())
        assert not inside & set(event.entered)
        inside |= set(event.entered)
        assert set(event.left) <= inside
        inside -= set(event.left)
        assert inside == set(event.zones)
    assert not any(zones.values())
    assert [event.number for event in events] == list(range(1, len(events) + 1))


def test_an_object_with_a_track_is_followed_by_it() -> None:
    def tracked(x: float, number: int) -> Detection:
        return replace(person(x), track=Track(number, False, 0.0))

    frames = [sight(t, tracked(100, 1 if t < 5 else 2), tracked(900 - 800 * (t % 2), 3)) for t in range(10)]
    events = run(follower(), [*frames, *(sight(10 + t) for t in range(10))])
    assert Counter(event.kind for event in events) == {"start": 3, "end": 3}
    assert {event.track_id for event in events if event.kind == "start"} == {1, 2, 3}
    assert len({event.object_id for event in events}) == 3
