"""Changes of a scene on synthetic pictures: what counts as unchanged, and what must be detected at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from appliance.flow.scene_change import compare, follow, nothing_known
from appliance.values import Box, Size
from appliance.vision import decode, scene, thumbnail
from appliance.vision.thumbnail import Cells

Pixels = NDArray[np.uint8]
SIZE = Size(1280, 720)


def cells(pixels: Pixels) -> Cells:
    """The cells that the gate gets, after JPEG compression by a camera."""
    found = thumbnail.mean_colours(decode.read_header(decode.encode_jpeg(pixels, 80), 10**7))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def street() -> Pixels:
    pixels, _ = scene.draw(SIZE)
    return pixels


@functools.cache
def grain() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((SIZE.height + 99, SIZE.width + 99, 3), np.float32)


def noisy(pixels: Pixels, sigma: float, seed: int) -> Pixels:
    y, x = np.random.default_rng(seed).integers(0, 100, 2)  # new noise for each picture would be too slow
    noise = grain()[y : y + pixels.shape[0], x : x + pixels.shape[1]] * np.float32(sigma)
    return np.asarray(cv2.add(pixels, noise.round().astype(np.int16), dtype=cv2.CV_8U), np.uint8)


def lit(pixels: Pixels, gain: float, offset: float = 0) -> Pixels:
    return np.asarray(np.clip(pixels * gain + offset, 0, 255), np.uint8)


def tinted(pixels: Pixels, *gains: float) -> Pixels:
    return np.asarray(np.clip(pixels * np.array(gains), 0, 255), np.uint8)


STILL: dict[str, Callable[[Pixels], Pixels]] = {
    "the same picture": lambda p: p,
    "sensor noise": lambda p: noisy(p, 5, 1),
    "a flickering lamp": lambda p: noisy(lit(p, 0.95), 3, 2),
    "a cloud": lambda p: noisy(lit(p, 0.9, -3), 3, 3),
    "a warmer white balance": lambda p: noisy(tinted(p, 1.06, 1.0, 0.94), 3, 4),
}


@pytest.mark.parametrize("name", STILL)
def test_an_unchanged_scene_is_recognised(street: Pixels, name: str) -> None:
    assert compare(cells(noisy(street, 3, 0)), cells(STILL[name](street))).strongest < 1


@pytest.mark.parametrize("sigma", [0, 5, 14])
@pytest.mark.parametrize("contrast", [-40, -12, 12, 40])
@pytest.mark.parametrize("at", [(100, 100), (640, 500), (1201, 613)])
def test_an_object_of_24_input_pixels_is_a_change(
    street: Pixels, sigma: float, contrast: int, at: tuple[int, int]
) -> None:
    side = 48  # in a 1280 px picture, so 24 in a 640 px input
    entered = street.astype(np.int32)
    entered[at[1] : at[1] + side, at[0] : at[0] + side] += contrast
    after = noisy(np.clip(entered, 0, 255).astype(np.uint8), sigma, 5)
    assert compare(cells(noisy(street, sigma, 4)), cells(after)).strongest >= 1


@pytest.mark.parametrize("sigma", [0, 5])
def test_a_difference_in_colour_alone_is_a_change(street: Pixels, sigma: float) -> None:
    entered = street.astype(np.int32)
    entered[500:548, 640:688] += (40, -25, 12)  # the same brightness as the road
    after = noisy(np.clip(entered, 0, 255).astype(np.uint8), sigma, 5)
    assert compare(cells(noisy(street, sigma, 4)), cells(after)).strongest >= 1


@pytest.mark.parametrize("part", [0.93, 1.0])
def test_a_change_of_light_does_not_hide_an_object(street: Pixels, part: float) -> None:
    entered = street.astype(np.int32)
    entered[420:720, 300:420] -= 15
    after = noisy(lit(np.clip(entered, 0, 255).astype(np.uint8), part), 3, 5)
    assert compare(cells(noisy(street, 3, 4)), cells(after)).strongest >= 1


def test_what_a_camera_does_all_the_time_is_learned(street: Pixels) -> None:
    reference, usual = cells(noisy(street, 25, 0)), nothing_known(cells(street))
    assert compare(reference, cells(noisy(street, 25, 1)), usual).strongest >= 1
    for seed in range(2, 25):
        usual = follow(usual, compare(reference, cells(noisy(street, 25, seed)), usual))
    assert compare(reference, cells(noisy(street, 25, 99)), usual).strongest < 1


def test_an_object_is_found_in_noise_that_was_learned(street: Pixels) -> None:
    reference, usual = cells(noisy(street, 10, 0)), nothing_known(cells(street))
    for seed in range(1, 25):
        usual = follow(usual, compare(reference, cells(noisy(street, 10, seed)), usual))
    entered = street.copy()
    entered[420:480, 600:640] //= 2
    assert compare(reference, cells(noisy(entered, 10, 99)), usual).strongest >= 1


def test_nothing_is_learned_where_an_object_moved(street: Pixels) -> None:
    reference, usual = cells(street), nothing_known(cells(street))
    entered = street.copy()
    entered[420:480, 600:640] //= 2
    box = Box(600, 420, 640, 480)
    for _ in range(50):
        usual = follow(usual, compare(reference, cells(entered), usual), [box], SIZE)
    assert compare(reference, cells(entered), usual).strongest >= 1


def test_another_view_is_not_learned(street: Pixels) -> None:
    reference, usual = cells(street), nothing_known(cells(street))
    turned = np.ascontiguousarray(street[::-1])
    for _ in range(100):
        usual = follow(usual, compare(reference, cells(turned), usual))
    assert compare(reference, cells(turned), usual).strongest >= 1


def test_a_scene_that_is_never_still_is_always_a_change(street: Pixels) -> None:
    reference = cells(street)
    usual = replace(nothing_known(reference), steps=np.full(reference.shape, 3.0, np.float32))
    assert compare(reference, reference, usual).strongest == float("inf")


def test_bands_of_a_lamp_on_mains_are_a_change_of_light(street: Pixels) -> None:
    rows = 1 + 0.02 * np.sin(np.arange(SIZE.height) / SIZE.height * 4 * np.pi)
    banded = np.clip(noisy(street, 3, 1) * rows[:, None, None], 0, 255).astype(np.uint8)
    assert compare(cells(noisy(street, 3, 0)), cells(banded)).strongest < 1


def test_what_changes_behind_a_mask_is_no_change(street: Pixels) -> None:
    entered = street.copy()
    entered[420:480, 600:640] //= 2
    covered = np.zeros((45, 80), np.bool_)
    covered[25:32, 36:42] = True
    assert compare(cells(street), cells(entered)).strongest >= 1
    assert compare(cells(street), cells(entered), covered=covered).strongest < 1


def test_a_greyscale_picture_has_cells_of_the_same_shape() -> None:
    data = simplejpeg.encode_jpeg(np.full((720, 1280, 1), 90, np.uint8), 80, "GRAY")
    found = thumbnail.mean_colours(decode.read_header(data, 10**7))
    assert found is not None
    assert found.shape == (45, 80, 3)
    assert compare(found, found).strongest == 0


def test_an_object_that_leaves_is_a_change(street: Pixels) -> None:
    empty, _ = scene.draw(SIZE, at=0.2)
    assert compare(cells(street), cells(empty)).strongest >= 1


def test_a_shaking_camera_is_a_change(street: Pixels) -> None:
    shifted = np.asarray(cv2.warpAffine(street, np.array([[1, 0, 9], [0, 1, 5]], np.float32), (1280, 720)), np.uint8)
    assert compare(cells(street), cells(shifted)).strongest >= 1


def test_slow_changes_add_up_against_the_last_inferred_frame(street: Pixels) -> None:
    first = cells(street)
    steps = [street.astype(np.int32) for _ in range(8)]
    for number, step in enumerate(steps):
        step[300:360, 300:360] += number * 4  # below the limit from one picture to the next
    changes = [compare(first, cells(np.clip(step, 0, 255).astype(np.uint8))).strongest for step in steps]
    assert changes[0] < 1
    assert changes[-1] >= 1


def test_a_different_size_and_too_much_light_are_changes(street: Pixels) -> None:
    reference = cells(street)
    assert compare(reference, reference[:-1]).strongest == float("inf")
    assert compare(reference, cells(lit(street, 0.5))).strongest == float("inf")
