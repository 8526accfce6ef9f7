"""The scene gate on synthetic pictures: what counts as unchanged, and what must be detected at once."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from appliance.flow.scene_gate import compare
from appliance.values import Size
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


def noisy(pixels: Pixels, sigma: float, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


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


def test_noise_that_alters_detections_is_a_change(street: Pixels) -> None:
    assert compare(cells(noisy(street, 10, 1)), cells(noisy(street, 10, 2))).strongest == float("inf")


def test_a_dark_scene_tolerates_less_noise_than_a_bright_one(street: Pixels) -> None:
    night = lit(street, 0.3)
    assert compare(cells(noisy(street, 3, 1)), cells(noisy(street, 3, 2))).strongest < 1
    assert compare(cells(noisy(night, 3, 1)), cells(noisy(night, 3, 2))).strongest == float("inf")


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
