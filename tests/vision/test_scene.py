"""The drawn street scene with known objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.values import Size
from appliance.vision import scene

shapes = st.tuples(st.integers(1, 700), st.integers(1, 500)).map(lambda sides: Size(*sides))


@given(shapes, st.floats(0, 1), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_the_scene_can_be_drawn_at_any_size(size: Size, at: float, seed: int) -> None:
    image, _ = scene.draw(size, at, seed=seed)
    assert image.shape == (size.height, size.width, 3)
    assert image.dtype == np.uint8


@given(st.integers(40, 700), st.integers(40, 500), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_the_sign_is_inside_a_landscape_image(width: int, height: int, at: float) -> None:
    size = Size(max(width, round(height * 1.1)), height)
    _, box = scene.draw(size, at)
    assert 0 <= box.x1 < box.x2 <= size.width
    assert 0 <= box.y1 < box.y2 <= size.height


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_only_the_sign_is_red(at: float) -> None:
    image, box = scene.draw(Size(1280, 720), at)
    red = (image[:, :, 0] > 150) & (image[:, :, 1] < 60)
    rows, columns = np.nonzero(red)
    thin = 0.08 * (box.x2 - box.x1)  # the white border
    for edge, found in zip((box.x1, box.y1, box.x2, box.y2), (columns.min(), rows.min(), columns.max(), rows.max()),
                           strict=True):  # fmt: skip
        assert abs(edge - found) < thin


def test_two_images_of_the_same_scene_differ_slightly() -> None:
    (one, box), (other, same_box) = scene.draw(Size(320, 192), seed=1), scene.draw(Size(320, 192), seed=2)
    assert box == same_box
    difference = np.abs(one.astype(int) - other.astype(int))
    assert 0 < difference.max() <= 5


def test_the_same_seed_draws_the_same_image() -> None:
    assert (scene.draw(Size(320, 192), seed=7)[0] == scene.draw(Size(320, 192), seed=7)[0]).all()
