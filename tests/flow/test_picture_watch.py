"""Staged faults of cameras are found in time, and what only looks like one is not reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.picture_watch import PictureWatch
from appliance.values import Limits, PictureFault
from appliance.vision import picture_features
from appliance.vision.picture_features import PictureFeatures, measure
from tests.flow.detectors import Rig, running
from tests.flow.frames import frame
from tests.picture_stages import FAULTS, Camera, day_and_night
from tests.web.health_rig import HealthRig

SEEDS = (101, 102, 103, 105)
STEP_S = 0.5


@cache
def learned(seed: int) -> tuple[Camera, PictureWatch, float]:
    """A camera that has sent for ten seconds."""
    camera, watch, now_s = Camera(seed, noise=1 + seed % 3), PictureWatch(), 0.0
    while now_s < 10:
        watch.look(camera.shot(now_s), now_s)
        now_s += STEP_S
    assert watch.faults == ()
    return camera, watch, now_s


def found_after_s(seed: int, name: str) -> float | None:
    """How long it takes until a staged fault is reported; None: too long."""
    camera, watch, begun_s = learned(seed)
    watch = watch.copy()
    codes, fault = FAULTS[name]
    random, now_s, view = np.random.default_rng(seed), begun_s, (camera.x, camera.y)
    try:
        while now_s - begun_s <= (30 if "turned" in name else 10):
            watch.look(fault(camera, now_s - begun_s, random), now_s)
            if {one.value for one in watch.faults} & codes:
                return now_s - begun_s
            now_s += 2 * STEP_S if "turned" in name else STEP_S
    finally:
        camera.x, camera.y = view
    return None


@pytest.mark.parametrize("name", FAULTS)
def test_a_staged_fault_is_found_in_time(name: str) -> None:
    missed = [seed for seed in SEEDS if found_after_s(seed, name) is None]
    assert len(missed) <= 1  # the goal, 95 %, is measured over more scenes: make bench BENCH=camera_health


@pytest.mark.parametrize("seed", [525, 537])
def test_a_camera_turned_to_a_plainer_view_is_turned_and_not_covered(seed: int) -> None:
    assert found_after_s(seed, "turned") is not None


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.2, 0.9), (0.5625, 0.5), (0.8, 0.1), (1.0, 1.0)])
def test_a_turned_camera_is_not_torn(x: float, y: float) -> None:
    """By chance a part of another view may fit the usual one moved sideways, but then always in the same place."""
    camera, watch, begun_s = learned(101)
    camera, watch = replace(camera, base=camera.large, x=x, y=y), watch.copy()
    for now_s in np.arange(begun_s, begun_s + 20, STEP_S):
        watch.look(camera.shot(float(now_s)), float(now_s))
        assert PictureFault.TORN not in watch.faults, now_s


@pytest.mark.parametrize(("axis", "shift"), [(0, 120), (1, 160)])
def test_what_is_displaced_in_the_same_place_again_and_again_is_not_torn(axis: int, shift: int) -> None:
    """As a lorry that drives away and comes back, or a camera that a gust moves to and fro."""
    camera, watch, begun_s = learned(101)
    watch = watch.copy()
    for number in range(40):
        pixels, now_s = camera.shot(begun_s + number * STEP_S), begun_s + number * STEP_S
        moved = slice(None) if axis == 0 else slice(180, None)
        if number % 3:
            pixels[moved] = np.roll(pixels[moved], shift, axis=axis)
        watch.look(pixels, now_s)
        assert PictureFault.TORN not in watch.faults, now_s


def test_a_day_and_a_night_are_no_fault() -> None:
    camera, watch, random = Camera(106), PictureWatch(), np.random.default_rng(106)
    for now_s, pixels in day_and_night(camera, 1.5, 600, random):
        watch.look(pixels, now_s)
        assert watch.faults == (), now_s


def test_a_short_fault_is_not_reported_and_a_long_one_clears_by_itself() -> None:
    camera, watch, now_s = learned(101)
    watch = watch.copy()
    black = np.zeros_like(camera.shot(0))
    for seconds, dark, expected in ((3, True, ()), (3, False, ()), (8, True, (PictureFault.DARK,)), (8, False, ())):
        for _ in range(round(seconds / STEP_S)):
            noise = np.random.default_rng(round(now_s * 10)).integers(0, 4, black.shape, np.uint8)
            watch.look(noise if dark else camera.shot(now_s), now_s)
            now_s += STEP_S
        assert watch.faults == expected


def test_a_slow_camera_is_judged_too() -> None:
    camera, watch = Camera(101), PictureWatch()
    for number in range(20):
        watch.look(camera.shot(number), 10.0 * number)
    for number in range(20, 26):
        watch.look(np.random.default_rng(number).integers(0, 4, camera.shot(0).shape, np.uint8), 10.0 * number)
    assert watch.faults == (PictureFault.DARK,)


def test_a_picture_that_cannot_be_judged_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    camera, watch = Camera(101), PictureWatch()
    with monkeypatch.context() as broken:
        broken.setattr(picture_features, "measure", lambda _: 1 / 0)
        watch.look(camera.shot(0), 0.0)
    assert "could not be judged" in caplog.text
    watch.look(camera.shot(1), 1.0)
    assert watch.faults == ()


def test_a_calm_camera_is_judged_less_often_than_one_that_shows_something(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[float] = []
    camera, watch, now_s = learned(101)
    watch = watch.copy()

    def noted(pixels: NDArray[np.uint8]) -> PictureFeatures:
        judged.append(now_s)
        return measure(pixels)

    monkeypatch.setattr(picture_features, "measure", noted)
    for _ in range(40):
        watch.look(camera.shot(now_s), now_s)
        now_s += STEP_S
    calm = len(judged)
    for _ in range(8):
        watch.look(camera.shot(now_s, gain=0.01), now_s)
        now_s += STEP_S
    assert calm <= 14
    assert len(judged) - calm >= 6


def test_key_frames_of_a_still_scene_are_not_frozen() -> None:
    """Between two key frames a camera repeats its picture: 4 s here, and once 12 s."""
    camera, watch, now_s = Camera(101), PictureWatch(), 0.0
    for repeats in (8, 8, 8, 8, 24, 8):
        pixels = camera.shot(now_s)
        for _ in range(repeats):
            watch.look(pixels, now_s)
            assert watch.faults == ()
            now_s += STEP_S


def reported_s(watch: PictureWatch, shots: Sequence[float], begin_s: int = 0) -> list[int]:
    """When the camera was reported. `shots`: which picture it shows, second by second."""
    camera, reported, shown, pixels = Camera(101), [], None, np.zeros(0, np.uint8)
    for second, shot in enumerate(shots, begin_s):
        if shot != shown:
            shown, pixels = shot, camera.shot(shot)
        before = watch.faults
        watch.look(pixels, float(second))
        if watch.faults and not before:
            reported.append(second)
    return reported


@pytest.mark.parametrize("every_s", [10.0, 30.0, 60.0])
def test_a_camera_that_shows_another_picture_every_so_often_is_not_reported_again_and_again(every_s: float) -> None:
    """A snapshot that the camera renews every ten seconds, or key frames as far apart in an empty corridor."""
    watch = PictureWatch()
    reported = reported_s(watch, [second // every_s for second in range(600)])
    assert len(reported) == 2
    assert max(reported) < 2 * every_s
    reported_s(watch, [1000.0] * 300, begin_s=600)
    assert watch.faults == (PictureFault.FROZEN,)


@pytest.mark.parametrize(("live_s", "each_s"), [(70, 1), (40, 1), (10, 1), (70, 4)])
def test_a_camera_that_hangs_now_and_then_is_reported_each_time(live_s: int, each_s: int) -> None:
    """Though it may hang for longer than it shows new pictures in between, or show each of those for a while."""
    shots = [second // each_s if second % 100 < live_s else 1000 + second // 100 for second in range(400)]
    assert len(reported_s(PictureWatch(), shots)) == 4


@pytest.mark.parametrize("shape", [(1, 1, 3), (63, 640, 3), (64, 64, 3), (640, 64, 3), (37, 2000, 3)])
def test_pictures_of_any_shape_are_accepted(shape: tuple[int, int, int]) -> None:
    watch = PictureWatch()
    for number in range(30):
        watch.look(np.random.default_rng(number).integers(0, 255, shape, np.uint8), float(number))


def test_another_input_size_is_no_fault() -> None:
    camera, watch, now_s = learned(103)
    watch = watch.copy()
    for number in range(30):
        small = cv2.resize(camera.shot(number), (320, 180), interpolation=cv2.INTER_AREA)
        watch.look(np.asarray(small, np.uint8), now_s + number)
    assert watch.faults == ()


def test_a_setting_switches_it_off_and_the_usual_view_outlives_a_connection() -> None:
    book = CameraBook(policies={"gate": CameraPolicy(picture_health=False)}, burst=1)
    assert book.enter("gate").picture is None
    assert book.enter("_canary").picture is None
    yard = book.enter("yard").picture
    book.enter("yard").connections = 1
    book.leave("yard")
    assert book.enter("yard").picture is yard
    book.follow({"yard": CameraPolicy(picture_health=False)})
    assert book.enter("yard").picture is None
    assert book.enter("gate").picture is not None


async def test_a_frozen_camera_is_a_finding_although_its_answers_come_from_the_cache() -> None:
    health = HealthRig(Rig(limits=Limits(640, 0.0, 8)))
    async with running(health.rig) as rig:
        for number in range(14):
            sent = frame("gate", seed=7, at_s=rig.clock())
            await rig.detector.offer(sent)
            await rig.outcome(sent)
            health.advance(1)
            assert number > 2 or "camera_frozen" not in health.codes()
        (finding,) = [found for found in health.vitals.findings() if found.code == "camera_frozen"]
        assert finding.values == {"cameras": ("gate",)}
        assert health.report()["cameras"]["gate"]["picture_faults"] == ["frozen"]
