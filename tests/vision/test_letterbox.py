"""The image's place in the input matches Ultralytics, and mapping back is its inverse."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.values import Size
from appliance.vision.letterbox import PLACINGS, Letterbox, Placing, fit, input_size

Boxes: TypeAlias = NDArray[np.floating[Any]]

sides = st.integers(1, 8000)
images = st.builds(Size, sides, sides)
strides = st.sampled_from((8, 16, 32, 64))
multiples = st.integers(2, 40)
"""The longest side of an input, in strides."""


def placed(image: Size, max_side: int, stride: int) -> Letterbox:
    return fit(image, input_size(image, max_side, stride))


def ultralytics(image: Size, max_side: int, stride: int) -> Letterbox:
    """As documented for `ultralytics.data.augment.LetterBox(new_shape=max_side, auto=True, stride=stride)`."""
    r = min(max_side / image.height, max_side / image.width)
    unpad = round(image.width * r), round(image.height * r)
    dw, dh = (max_side - unpad[0]) % stride / 2, (max_side - unpad[1]) % stride / 2
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    return Letterbox(image, Size(*unpad), Size(unpad[0] + left + right, unpad[1] + top + bottom), left, top)


def ultralytics_scale_boxes(boxes: Boxes, network: Size, image: Size) -> Boxes:
    """As documented for `ultralytics.utils.ops.scale_boxes(img1_shape, boxes, img0_shape)` and `clip_boxes` (8.4):
    each side has its own gain, after rounding to whole pixels."""
    gain = min(network.height / image.height, network.width / image.width)
    width, height = max(1, round(image.width * gain)), max(1, round(image.height * gain))
    pad_x, pad_y = round((network.width - width) / 2 - 0.1), round((network.height - height) / 2 - 0.1)
    gains = np.array([width / image.width, height / image.height] * 2)
    moved = (boxes - np.array([pad_x, pad_y, pad_x, pad_y])) / gains
    return np.asarray(np.clip(moved, 0, np.array([image.width, image.height] * 2)))


@given(images, multiples, strides)
@settings(deadline=None)
def test_the_input_has_the_requested_longest_side_in_multiples_of_the_stride(
    image: Size, multiple: int, stride: int
) -> None:
    outer = input_size(image, multiple * stride, stride)
    assert outer.width % stride == 0
    assert outer.height % stride == 0
    assert max(outer.width, outer.height) == multiple * stride
    assert min(outer.width, outer.height) >= stride


@given(images, st.integers(64, 2048), strides)
@settings(deadline=None)
def test_a_longest_side_between_two_multiples_is_rounded_up(image: Size, max_side: int, stride: int) -> None:
    outer = input_size(image, max_side, stride)
    assert outer.width % stride == 0
    assert outer.height % stride == 0
    assert max_side <= max(outer.width, outer.height) < max_side + stride


@given(images, multiples, strides)
@example(Size(47, 866), 38, 8)
@settings(deadline=None)
def test_the_whole_image_is_centred_in_the_input(image: Size, multiple: int, stride: int) -> None:
    place = placed(image, multiple * stride, stride)
    right = place.outer.width - place.left - place.inner.width
    below = place.outer.height - place.top - place.inner.height
    assert min(place.left, place.top, right, below) >= 0
    assert right - place.left in (0, 1)
    assert below - place.top in (0, 1)
    # A short side that is rounded by up to half a pixel changes the other one in proportion.
    rounding = max(place.outer.width, place.outer.height) / (2 * min(place.inner.width, place.inner.height))
    assert max(right + place.left, below + place.top) < stride + rounding


@given(images, multiples, strides)
@settings(deadline=None)
def test_the_aspect_ratio_is_preserved_within_a_pixel(image: Size, multiple: int, stride: int) -> None:
    place = placed(image, multiple * stride, stride)
    gain = max(place.inner.width, place.inner.height) / max(image.width, image.height)
    assert abs(place.inner.width - max(1, image.width * gain)) <= 1
    assert abs(place.inner.height - max(1, image.height * gain)) <= 1


@given(images, multiples, strides)
@example(Size(1280, 720), 20, 32)
@example(Size(1500, 901), 20, 32)
@settings(max_examples=300, deadline=None)
def test_the_place_matches_ultralytics(image: Size, multiple: int, stride: int) -> None:
    """Except where the shorter side is rounded down to a multiple of the stride (1500x901: 384.4 rows to 384).
    There `LetterBox` and `scale_boxes` differ by up to half a pixel, and this package follows the latter."""
    theirs, ours = ultralytics(image, multiple * stride, stride), placed(image, multiple * stride, stride)
    assume(min(theirs.inner.width, theirs.inner.height) >= 1)  # theirs cannot show less than a row; ours keeps one
    assert ours.outer == theirs.outer
    gain = multiple * stride / max(image.width, image.height)
    if min(image.width, image.height) * gain <= min(theirs.outer.width, theirs.outer.height):
        assert ours == theirs


@st.composite
def cases(draw: st.DrawFn) -> tuple[Letterbox, Boxes]:
    """A place, and boxes in image pixels."""
    image, multiple, stride = draw(st.tuples(images, multiples, strides))
    corners = draw(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5))
    x1, y1, x2, y2 = np.array(corners).T
    boxes = np.stack((np.minimum(x1, x2), np.minimum(y1, y2), np.maximum(x1, x2), np.maximum(y1, y2)), axis=1)
    return placed(image, multiple * stride, stride), boxes * np.array([image.width, image.height] * 2)


@given(cases())
@settings(deadline=None)
def test_a_box_maps_back_within_a_pixel_of_the_input(case: tuple[Letterbox, Boxes]) -> None:
    place, boxes_px = case
    scale = np.array([place.inner.width / place.image.width, place.inner.height / place.image.height] * 2)
    there = boxes_px * scale + np.array([place.left, place.top] * 2)
    back = place.to_image(there.astype(np.float32))
    a_pixel = max(place.image.width, place.image.height) / max(place.inner.width, place.inner.height)
    assert np.abs(back - boxes_px).max() <= 1.01 * a_pixel + 0.01


@given(images, multiples, st.lists(st.tuples(*[st.floats(-500, 3000, width=32)] * 4), max_size=5))
@settings(deadline=None)
def test_boxes_are_scaled_and_clipped_as_in_ultralytics(
    image: Size, multiple: int, corners: list[tuple[float, float, float, float]]
) -> None:
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    place = placed(image, multiple * 32, 32)
    back = place.to_image(boxes)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, ultralytics_scale_boxes(boxes, place.outer, image), rtol=1e-4, atol=0.01)


@given(images, multiples, st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 4), max_size=5))
@settings(deadline=None)
def test_no_box_extends_beyond_the_image(image: Size, multiple: int, corners: list[tuple[float, ...]]) -> None:
    back = placed(image, multiple * 32, 32).to_image(np.array(corners, np.float32).reshape(-1, 4))
    assert (back >= 0).all()
    assert (back[:, 0::2] <= image.width).all()
    assert (back[:, 1::2] <= image.height).all()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Size(1280, 720), Letterbox(Size(1280, 720), Size(640, 360), Size(640, 384), 0, 12)),
        (Size(720, 1280), Letterbox(Size(720, 1280), Size(360, 640), Size(384, 640), 12, 0)),
        (Size(640, 480), Letterbox(Size(640, 480), Size(640, 480), Size(640, 480), 0, 0)),
        (Size(100, 100), Letterbox(Size(100, 100), Size(640, 640), Size(640, 640), 0, 0)),
        (Size(5000, 1), Letterbox(Size(5000, 1), Size(640, 1), Size(640, 32), 0, 15)),
    ],
)
def test_usual_and_odd_image_sizes_have_the_place_computed_by_hand(image: Size, expected: Letterbox) -> None:
    assert placed(image, 640, 32) == expected


def test_a_network_of_fixed_size_takes_every_image_completely() -> None:
    assert fit(Size(1280, 720), Size(640, 640)) == Letterbox(Size(1280, 720), Size(640, 360), Size(640, 640), 0, 140)
    assert fit(Size(720, 1280), Size(640, 384)) == Letterbox(Size(720, 1280), Size(216, 384), Size(640, 384), 212, 0)


@given(images, st.builds(Size, st.integers(32, 800), st.integers(32, 800)), st.sampled_from(PLACINGS))
@settings(deadline=None)
def test_corners_map_back_for_every_placing(image: Size, outer: Size, placing: Placing) -> None:
    place = fit(image, outer, placing)
    left, top = place.left, place.top
    corners = np.array([[left, top, left + place.inner.width, top + place.inner.height]], np.float32)
    np.testing.assert_allclose(place.to_image(corners), [[0, 0, image.width, image.height]], rtol=1e-5)
    assert 0 <= left <= outer.width - place.inner.width
    assert 0 <= top <= outer.height - place.inner.height


def test_an_image_is_centred_or_in_the_corner_or_stretched() -> None:
    image, outer = Size(1280, 720), Size(320, 320)
    assert fit(image, outer, "centre") == Letterbox(image, Size(320, 180), outer, 0, 70)
    assert fit(image, outer, "corner") == Letterbox(image, Size(320, 180), outer, 0, 0)
    assert fit(image, outer, "stretch") == Letterbox(image, outer, outer, 0, 0)
