"""A displaced lower part of a picture is found, whichever its row and shift, and a rolled picture."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.vision.picture_features import HIGH, WIDE, Grid, measure
from appliance.vision.picture_tears import displaced, rolled
from tests.picture_stages import HEIGHT, Camera

CAMERA = Camera(100)
USUAL = measure(CAMERA.shot(0.0)).edges


@pytest.mark.parametrize("part", [0.25, 0.4, 0.55, 0.7])
@pytest.mark.parametrize("shift", [60, 160, 320, 500])
def test_a_lower_part_moved_sideways_is_found(part: float, shift: int) -> None:
    pixels, row = CAMERA.shot(1.0), int(part * HEIGHT)
    pixels[row:] = np.roll(pixels[row:], shift, axis=1)
    assert displaced(measure(pixels).edges, USUAL) is not None


@pytest.mark.parametrize("down", [40, 100, 180, 250, 320])
def test_a_rolled_picture_is_found_and_by_how_much(down: int) -> None:
    found = rolled(measure(np.roll(CAMERA.shot(1.0), down, axis=0)).edges, USUAL)
    assert found == pytest.approx(down * HIGH / HEIGHT, abs=1)


def test_a_picture_in_place_or_of_another_view_is_neither_rolled_nor_displaced() -> None:
    other = Camera(103)
    for pixels in (CAMERA.shot(1.0), CAMERA.shot(1.0, gain=0.3), other.shot(1.0)):
        edges = measure(pixels).edges
        assert rolled(edges, USUAL) is None
        assert displaced(edges, USUAL) is None


def flat() -> Grid:
    return np.zeros((HIGH, WIDE), np.float32)


def test_pictures_without_edges_are_not_torn() -> None:
    assert not displaced(flat(), flat())
    assert not displaced(USUAL, flat())
    assert not rolled(flat(), flat())
    assert not rolled(flat(), USUAL)
    assert not rolled(USUAL, flat())
    assert not displaced(flat(), USUAL)
