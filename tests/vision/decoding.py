"""Helpers for the decoding tests."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.errors import BadFrame
from appliance.vision import decode, letterbox

MAX_PIXELS = 300_000
CODES = {"image_unsupported", "image_corrupt", "image_too_large"}


def decoded(data: bytes) -> NDArray[np.uint8]:
    return decode.decode(decode.read_header(data, MAX_PIXELS))


def error_code(data: bytes, max_pixels: int = MAX_PIXELS) -> str:
    """The error code for an image, from its header or its pixels."""
    with pytest.raises(BadFrame) as caught:
        decode.decode(decode.read_header(data, max_pixels))
    return caught.value.code


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def loaded(data: bytes, side: int) -> tuple[letterbox.Letterbox, NDArray[np.uint8]]:
    picture = decode.read_header(data, 100_000_000)
    place = letterbox.fit(picture.size, letterbox.input_size(picture.size, side, 32))
    return place, decode.load(picture, place)


def peak_memory(act: Callable[[], object]) -> int:
    """Peak memory of NumPy and Python in the meantime."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check_decoding(data: bytes) -> None:
    """Check that any input gives an image of the size in its header, or a BadFrame with a documented code."""
    try:
        picture = decode.read_header(data, MAX_PIXELS)
        place = letterbox.fit(picture.size, letterbox.input_size(picture.size, 64, 32))
        assert decode.load(picture, place).shape == (place.outer.height, place.outer.width, 3)
        assert decode.decode(picture).shape == (picture.size.height, picture.size.width, 3)
    except BadFrame as error:
        code = error.code
    else:
        return
    assert code in CODES
