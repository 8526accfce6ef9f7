"""A displaced lower part of a picture is found, whichever its row and shift."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.vision.picture_features import HIGH, WIDE, Grid, measure
from appliance.vision.picture_tears import displaced
from tests.picture_stages import HEIGHT, Camera

CAMERA = Camera(100)
USUAL = measure(CAMERA.shot(0.0)).edges


@pytest.mark.parametrize("part", [0.25, 0.4, 0.55, 0.7])
@pytest.mark.parametrize("shift", [60, 160, 320, 500])
def test_a_lower_part_moved_sideways_is_found(part: float, shift: int) -> None:
    pixels, row = CAMERA.shot(1.0), int(part * HEIGHT)
    pixels[row:] = np.roll(pixels[row:], shift, axis=1)
    assert displaced(measure(pixels).edges, USUAL) is not None


def flat() -> Grid:
    return np.zeros((HIGH, WIDE), np.float32)


def test_pictures_without_edges_are_not_torn() -> None:
    assert not displaced(flat(), flat())
    assert not displaced(USUAL, flat())
    assert not displaced(flat(), USUAL)
