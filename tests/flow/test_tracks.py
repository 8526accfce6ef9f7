"""Tracks: which object a detection is, since when, and whether it stands."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.cameras import CameraBook
from appliance.flow.tracks import MOST_OF_ALL, MOST_TRACKS, CameraTracks, Tracks
from appliance.values import Box, Detected, Detection, Size, Timing
from tests.flow.detectors import Rig, running
from tests.flow.frames import frame

SIZE = Size(1280, 720)


def person(x: float, y: float = 300, name: str = "person") -> Detection:
    return Detection(name, 0 if name == "person" else 2, 0.9, Box(x, y, x + 60, y + 150))


def tracks(memory_s: float = 5.0) -> Tracks:
    return Tracks(memory_s, clock=lambda: 100.0, wall_clock=lambda: 1_700_000_100.0)


def see(camera: CameraTracks, at_s: float, *found: Detection) -> list[int | None]:
    answer = camera.follow(Detected(found, SIZE, SIZE, "m", Timing(0, 0, 0, 0)), at_s)
    return [one.track.track_id if one.track is not None else None for one in answer.detections]


def test_a_walker_keeps_its_track_at_a_frame_a_second() -> None:
    camera = tracks().camera()
    seen = [see(camera, float(second), person(100 + 90.0 * second)) for second in range(10)]
    assert seen == [[1]] * 10


def test_two_walkers_who_meet_keep_their_tracks() -> None:
    camera = tracks().camera()
    for step in range(40):
        left, right = person(100 + 20.0 * step), person(900 - 20.0 * step, 330)
        last = see(camera, step / 5, left, right)
    assert last == [1, 2]


def test_an_object_is_remembered_for_a_while() -> None:
    camera = tracks().camera()
    assert see(camera, 0.0, person(100)) == [1]
    assert see(camera, 1.0) == []
    assert see(camera, 4.0, person(100)) == [1]
    assert see(camera, 9.5) == []
    assert see(camera, 10.0, person(100)) == [1]  # one frame says little, however late it comes
    assert see(camera, 14.5) == []
    assert see(camera, 15.0) == []
    assert see(camera, 16.0, person(100)) == [2]


def test_another_class_in_the_same_place_is_another_object() -> None:
    camera = tracks().camera()
    assert see(camera, 0.0, person(100)) == [1]
    assert see(camera, 1.0, person(100, name="car")) == [2]
    assert see(camera, 2.0, replace(person(100), name="helmet")) == [3]  # another model, with the number of a person


def test_an_object_that_stands_is_stationary_until_it_moves() -> None:
    camera = tracks().camera()

    def stationary(at_s: float, x: float) -> bool:
        answer = camera.follow(Detected((person(x),), SIZE, SIZE, "m", Timing(0, 0, 0, 0)), at_s)
        (one,) = answer.detections
        assert one.track is not None
        assert one.track.first_seen == 1_700_000_000.0
        return one.track.stationary

    stands = [stationary(float(second), 500 + 4.0 * (-1) ** second) for second in range(9)]
    assert stands == [False] * 5 + [True] * 4
    assert not any(stationary(9.0 + step, 500 + 60.0 * (step + 1)) for step in range(1, 4))


def test_a_frame_that_was_overtaken_takes_its_place() -> None:
    camera = tracks().camera()
    for at_s, x in ((0.0, 100), (0.4, 140), (0.2, 120), (0.6, 160)):
        assert see(camera, at_s, person(x)) == [1]


def test_no_track_is_used_twice_by_any_camera() -> None:
    both = tracks()
    one, other = both.camera(), both.camera()
    assert see(one, 0.0, person(100)) == [1]
    assert see(other, 0.0, person(100)) == [2]
    one.close()
    assert see(one, 0.0, person(100)) == [3]


def test_tracks_are_bounded_for_a_camera_and_for_all() -> None:
    all_of_them = tracks()
    crowd = [person(150.0 * column, 10.0 * row) for row in range(60) for column in range(2)]
    cameras = [all_of_them.camera() for _ in range(70)]
    counts = [sum(number is not None for number in see(camera, 0.0, *crowd)) for camera in cameras]
    assert max(counts) == MOST_TRACKS
    assert sum(counts) == all_of_them.living == MOST_OF_ALL
    cameras[0].close()
    assert all_of_them.living == MOST_OF_ALL - MOST_TRACKS
    assert see(cameras[-1], 0.0, person(100)) != [None]


def predicted(camera: CameraTracks, at_s: float) -> tuple[Detection, ...] | None:
    answer = camera.predicted(at_s)
    return None if answer is None else answer.detections


def test_a_walker_is_predicted_where_it_goes_and_a_parked_car_where_it_stands() -> None:
    camera = tracks().camera()
    for step in range(20):
        see(camera, step / 5, person(100 + 20.0 * step), person(900, name="car"))
    walker, car = predicted(camera, 19 / 5 + 0.4) or ()
    assert walker.box_px.x1 == pytest.approx(520, abs=3)
    assert car.box_px == person(900, name="car").box_px
    assert walker.track is not None
    assert walker.track.track_id == 1


def test_nothing_is_predicted_beyond_its_time() -> None:
    camera = tracks().camera()
    assert predicted(camera, 0.0) is None
    for step in range(3):
        see(camera, float(step), person(100))
    assert predicted(camera, 2.9)
    assert predicted(camera, 3.1) is None


def test_what_one_answer_alone_or_not_the_last_one_showed_is_not_predicted() -> None:
    camera = tracks().camera()
    see(camera, 0.0, person(100))
    assert predicted(camera, 0.1) == ()
    see(camera, 0.2, person(100), person(600))
    see(camera, 0.4, person(100))
    assert [one.box_px.x1 for one in predicted(camera, 0.5) or ()] == [100]


def test_an_object_that_has_left_the_picture_is_not_predicted() -> None:
    camera = tracks().camera()
    for step in range(4):
        see(camera, step / 4, person(1000 + 60.0 * step))
    assert predicted(camera, 1.5) == ()


@given(st.floats(-100, 100), st.floats(-3000, 3000), st.floats(0, 2))
def test_a_predicted_box_is_within_the_picture(x: float, speed: float, later_s: float) -> None:
    camera = tracks().camera()
    for step in range(3):
        see(camera, step / 10, person(600 + x + speed * step / 10))
    before = len(camera)
    for one in predicted(camera, 0.2 + later_s) or ():
        assert 0 <= one.box_px.x1 < one.box_px.x2 <= SIZE.width
    assert len(camera) == before


@given(
    st.lists(
        st.tuples(st.floats(-1, 3), st.lists(st.tuples(st.floats(0, 1200), st.floats(0, 600)), max_size=8)), max_size=30
    )
)
def test_each_detection_has_a_track_of_its_own(frames: list[tuple[float, list[tuple[float, float]]]]) -> None:
    all_of_them = tracks()
    camera, at_s = all_of_them.camera(), 0.0
    for passed_s, places in frames:
        at_s += passed_s
        numbers = see(camera, at_s, *(person(x, y) for x, y in places))
        assert None not in numbers
        assert len(set(numbers)) == len(places)
    assert all_of_them.living == len(camera)


async def test_tracks_survive_cached_answers_and_never_enter_the_cache() -> None:
    all_of_them = tracks()
    rig = Rig(book=CameraBook(policies={}, burst=3, new_tracks=all_of_them.camera))
    async with running(rig):
        outcomes = []
        for camera in ("gate", "gate", "yard"):
            one = frame(camera, seed=7, at_s=rig.clock())
            await rig.detector.offer(one)
            outcome = await rig.outcome(one)
            assert isinstance(outcome, Detected)
            (found,) = outcome.detections
            assert found.track is not None
            outcomes.append((outcome.cached, found.track.track_id))
        assert outcomes == [(False, 1), ("exact", 1), ("exact", 2)]


def test_a_camera_that_connects_again_keeps_its_tracks_for_a_minute() -> None:
    all_of_them = tracks()
    book = CameraBook(policies={}, burst=3, new_tracks=all_of_them.camera)

    def seen_over_a_new_connection(name: str, at_s: float) -> list[int | None]:
        camera = book.enter(name)
        camera.connections, camera.last_frame_s = 1, at_s
        assert isinstance(camera.tracks, CameraTracks)
        found = see(camera.tracks, at_s, person(100))
        book.leave(name)
        return found

    assert seen_over_a_new_connection("gate", 100.0) == [1]
    assert seen_over_a_new_connection("yard", 101.0) == [2]
    assert seen_over_a_new_connection("gate", 130.0) == [1]
    assert all_of_them.living == 2
    book.forget_silent(162.0)
    assert all_of_them.living == 1
    assert seen_over_a_new_connection("yard", 163.0) == [3]
    book.forget_silent(224.0)
    assert all_of_them.living == 0


def test_tracks_of_absent_cameras_are_bounded_and_those_without_a_name_go_at_once() -> None:
    all_of_them = tracks()
    book = CameraBook(policies={}, burst=3, new_tracks=all_of_them.camera)
    for number in range(200):
        camera = book.enter(f"camera {number}")
        camera.connections, camera.last_frame_s, camera.unnamed = 1, 100.0, number >= 100
        assert isinstance(camera.tracks, CameraTracks)
        see(camera.tracks, 100.0, person(100))
        book.leave(f"camera {number}")
    assert all_of_them.living == 64


async def test_a_client_without_a_camera_name_and_the_self_test_have_no_tracks() -> None:
    book = CameraBook(policies={}, burst=3, new_tracks=Tracks(5.0, clock=lambda: 0.0).camera)
    assert book.enter("gate").tracks is not None
    assert book.enter("_self_test").tracks is None


@pytest.mark.parametrize("on", [False, True])
def test_the_code_is_loaded_only_where_tracks_are_on(on: bool) -> None:
    program = (
        "import sys; from appliance.service import build, from_settings; from appliance.settings import loader; "
        f"from_settings.new_tracks(loader.load(None, {{}}, {{'flow.tracks': '{on}'.lower()}}), lambda: 0.0); "
        "print('appliance.flow.tracks' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(on)
