"""Frames for tests that need no network around them."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from appliance.values import Frame, ResultFilter
from appliance.vision import decode

_numbers = itertools.count(1)


@functools.cache
def jpeg(seed: int = 0, width: int = 64, height: int = 48) -> bytes:
    """Encode a small picture; each seed gives different bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return decode.encode_jpeg(pixels, 80)


def frame(
    camera: str = "gate",
    *,
    data: bytes | None = None,
    seed: int | None = None,
    at_s: float = 1000.0,
    wanted: ResultFilter | None = None,
) -> Frame:
    """Create a frame with a unique picture, unless `data` or `seed` selects one."""
    number = next(_numbers)
    picture = decode.read_header(data if data is not None else jpeg(number if seed is None else seed), 10**9)
    return Frame(camera, camera, number, picture, wanted or ResultFilter(0.25), at_s)
