"""Pictures and pixels -> the JPEG that the box asked for, with as little work as that takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from appliance.errors import BadFrame
from appliance.governor.room import Room
from appliance.values import CameraLimits, Size
from appliance.vision import letterbox
from appliance.vision.admission import Admission
from appliance.vision.decode import encode_jpeg, load, read_header

AS_IT_IS = 2.0
"""A picture that is a JPEG already goes out as it is up to this many times `max_side`: at 1280x720 for 640 px, making
it smaller costs the camera 1.8 ms and saves the box 0.7 ms, which decodes it at half its size anyway (x86-64)."""

_MOST_PIXELS = 200_000_000


def fit(data: bytes, limits: CameraLimits) -> bytes:
    """A finished picture as it is, or made smaller where it is far larger than the box wants.

    What cannot be read, or takes more memory than this machine has left, is passed on: the box says what is wrong.
    """
    try:
        picture = read_header(data, _MOST_PIXELS)
        if max(picture.size.width, picture.size.height) <= AS_IT_IS * limits.max_side:
            return data
        place = letterbox.fit(picture.size, scaled(picture.size, limits.max_side))
        with Admission(lambda: Room()()).admitted(picture, place.inner):
            return encode_jpeg(load(picture, place), limits.jpeg_quality)
    except BadFrame:
        return data


def scaled(size: Size, max_side: int) -> Size:
    """This size if its longest side is no longer than `max_side`, else as large as that allows; even, for 4:2:0."""
    part = min(1.0, max_side / max(size.width, size.height))
    return Size(max(2, round(size.width * part / 2) * 2), max(2, round(size.height * part / 2) * 2))


def of_frame(frame: Any, limits: CameraLimits) -> bytes:
    """A decoded PyAV frame as a JPEG: scaled and made full-range in one step, turned upright, never made RGB."""
    size = scaled(Size(frame.width, frame.height), limits.max_side)
    small = frame.reformat(
        width=size.width, height=size.height, format="yuvj420p", dst_color_range="JPEG", interpolation="AREA"
    )
    planes = [_plane(plane) for plane in small.planes]
    turn = turn_of(frame)
    if turn is not None:
        planes = [np.ascontiguousarray(turn(plane)) for plane in planes]
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, limits.jpeg_quality))


Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def turn_of(frame: Any) -> Turn | None:
    """What brings a frame upright by its display matrix, as phones write it; None: it is upright.

    The matrix takes (x, y) to (ax + cy, bx + dy), y downwards (libavutil/display.h); only its signs count, for cameras
    are held in one of eight ways.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None or len(bytes(matrix)) < 36:
        return None
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(bytes(matrix), np.int32))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = (-1 if a < 0 else 1), (-1 if d < 0 else 1)
        return None if (across, down) == (1, 1) else lambda plane: plane[::down, ::across]
    across, down = (-1 if c < 0 else 1), (-1 if b < 0 else 1)
    return lambda plane: plane.T[::down, ::across]


def of_yuv420(stacked: NDArray[np.uint8], size: Size, quality: int) -> bytes:
    """A YUV420 buffer as libcamera lays it out, (1.5 height, stride): Y, then U and V in rows of half the stride."""
    height, width = size.height, size.width
    chroma = stacked[height:].reshape(-1, stacked.shape[1] // 2)
    planes = stacked[:height, :width], chroma[: height // 2, : width // 2], chroma[height // 2 : height, : width // 2]
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*map(np.ascontiguousarray, planes), quality))


def _plane(plane: Any) -> NDArray[np.uint8]:
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width])
