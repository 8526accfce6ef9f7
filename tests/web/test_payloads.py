"""Detections of all tasks have the format of Ultralytics' `Results.summary()`."""

from __future__ import annotations

from dataclasses import replace

from appliance.values import Box, Detected, Detection, Keypoint, Size, Timing
from appliance.web.payloads import of_detected, of_detection
from tests.flow.frames import frame

BOX = Box(1.111, 2.222, 3.333, 4.444)
SHOWN = {"x1": 1.11, "y1": 2.22, "x2": 3.33, "y2": 4.44}


def test_a_plain_box_has_no_other_fields() -> None:
    assert of_detection(Detection("car", 2, 0.123456, BOX)) == {
        "name": "car",
        "class": 2,
        "confidence": 0.12346,
        "box": SHOWN,
    }


def test_a_mask_is_sent_as_columns_of_its_outline() -> None:
    shown = of_detection(Detection("car", 2, 0.5, BOX, outline_px=((1.0, 2.0), (3.004, 4.0))))
    assert shown["segments"] == {"x": [1.0, 3.0], "y": [2.0, 4.0]}
    assert shown["box"] == SHOWN


def test_a_pose_is_sent_as_columns_of_points_and_visibility() -> None:
    points = (Keypoint(1.0, 2.0, 0.9), Keypoint(3.0, 4.0, 0.123456))
    shown = of_detection(Detection("person", 0, 0.5, BOX, keypoints_px=points))
    assert shown["keypoints"] == {"x": [1.0, 3.0], "y": [2.0, 4.0], "visible": [0.9, 0.12346]}


def test_an_oriented_box_has_four_corners() -> None:
    corners = ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))
    shown = of_detection(Detection("ship", 0, 0.5, BOX, corners_px=corners))
    assert shown["box"] == {"x1": 1, "y1": 0, "x2": 2, "y2": 1, "x3": 1, "y3": 2, "x4": 0, "y4": 1}


def test_a_detection_that_was_not_seen_in_this_frame_says_how_old_it_is() -> None:
    assert of_detection(Detection("car", 2, 0.5, BOX, age_s=1.25))["age"] == 1.25
    assert "age" not in of_detection(Detection("car", 2, 0.5, BOX))


def test_an_answer_says_which_parts_of_the_picture_inference_ran_on() -> None:
    size, timing = Size(1280, 720), Timing(0, 0, 0, 0)
    whole = Detected((), size, Size(640, 384), "fake", timing)
    assert "regions" not in of_detected(frame(), whole)
    crop = replace(whole, input_size=Size(320, 192), regions=(Box(100, 50, 420, 242),))
    assert of_detected(frame(), crop)["regions"] == [{"x1": 100, "y1": 50, "x2": 420, "y2": 242}]
