"""Parts of a picture as network inputs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from appliance.values import Box, Detection, Keypoint, Size
from appliance.vision import decode
from appliance.vision.letterbox import fit
from appliance.vision.window import PicturePart
from tests.vision.decoding import difference

CROP = Size(320, 192)


def photo(orientation: int = 1) -> bytes:
    small = np.random.default_rng(3).integers(0, 255, (45, 80, 3), np.uint8)
    image = Image.fromarray(small).resize((1280, 720), Image.Resampling.BICUBIC)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_crop_shows_the_pictures_own_pixels(orientation: int) -> None:
    picture = decode.read_header(photo(orientation), 10**8)
    pixels = decode.decode(picture)
    left, top = picture.size.width - 340, picture.size.height - 200
    (tensor,) = decode.load_windows(picture, [PicturePart(left, top, fit(CROP, CROP))])
    assert np.array_equal(tensor, pixels[top : top + 192, left : left + 320])


def test_an_overview_next_to_a_crop_is_like_one_alone() -> None:
    picture = decode.read_header(photo(), 10**8)
    place = fit(picture.size, CROP)
    overview, _ = decode.load_windows(picture, [PicturePart(0, 0, place), PicturePart(700, 300, fit(CROP, CROP))])
    assert difference(overview, decode.load(picture, place)) < 3


def test_everything_in_a_detection_moves_with_its_window() -> None:
    one = Detection(
        "person", 0, 0.9, Box(1, 2, 3, 4), ((1, 2), (3, 4)), (Keypoint(1, 2, 0.5),), ((1, 2), (3, 2), (3, 4), (1, 4))
    )
    (moved,) = PicturePart(100, 50, fit(CROP, CROP)).to_picture([one])
    assert moved.box_px == Box(101, 52, 103, 54)
    assert moved.outline_px == ((101, 52), (103, 54))
    assert moved.keypoints_px == (Keypoint(101, 52, 0.5),)
    assert moved.corners_px == ((101, 52), (103, 52), (103, 54), (101, 54))
