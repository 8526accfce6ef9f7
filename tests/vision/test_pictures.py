"""Kept pictures stay within their memory limit."""

from __future__ import annotations

from appliance.vision.pictures import Pictures
from tests.flow.frames import frame, jpeg


def test_the_newest_picture_of_each_camera_is_kept() -> None:
    pictures = Pictures()
    for camera in ("gate", "yard", "gate"):
        newest = frame(camera)
        pictures.put(camera, newest)
    assert pictures.get("gate") is newest
    assert pictures.get("yard") is not None
    assert pictures.get("street") is None


def test_at_the_limit_the_least_recently_replaced_picture_is_dropped() -> None:
    pictures = Pictures(max_bytes=3 * len(jpeg(1)))
    for camera in ("a", "b", "c", "a", "d"):
        pictures.put(camera, frame(camera, seed=1))
    assert [camera for camera in "abcd" if pictures.get(camera)] == ["a", "c", "d"]
    pictures.drop("a")
    pictures.drop("a")
    pictures.put("b", frame("b", seed=1))
    assert [camera for camera in "abcd" if pictures.get(camera)] == ["b", "c", "d"]


def test_a_picture_larger_than_the_limit_is_not_kept() -> None:
    pictures = Pictures(max_bytes=10)
    pictures.put("a", frame("a"))
    assert pictures.get("a") is None


def test_unwanted_pictures_are_dropped() -> None:
    pictures = Pictures()
    for camera in "abc":
        pictures.put(camera, frame(camera))
    pictures.keep_only(lambda camera: camera == "b")
    assert [camera for camera in "abc" if pictures.get(camera)] == ["b"]
