"""Convert pictures and pixels to the JPEG that the device requests, with minimal work."""

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

_UNCHANGED_UP_TO = 2.0
"""A JPEG is sent unchanged up to this multiple of `max_side`. Shrinking 1280x720 to 640 px costs the camera 1.8 ms and
saves the device only 0.7 ms, because it decodes at half size anyway (x86-64)."""

_MAX_PIXELS = 200_000_000


def fit(data: bytes, limits: CameraLimits) -> bytes:
    """Shrink an encoded picture if it is much larger than the limits; otherwise return it unchanged.

    A picture that is unreadable or needs more than the free memory is returned unchanged: the device reports the error.
    """
    try:
        picture = read_header(data, _MAX_PIXELS)
        if max(picture.size.width, picture.size.height) <= _UNCHANGED_UP_TO * limits.max_side:
            return data
        place = letterbox.fit(picture.size, scaled(picture.size, limits.max_side))
        with Admission(lambda: Room()()).admitted(picture, place.inner):
            return encode_jpeg(load(picture, place), limits.jpeg_quality)
    except BadFrame:
        return data


def scaled(size: Size, max_side: int) -> Size:
    """Scale a size down to at most `max_side` on its longest side. Both sides are even, for 4:2:0."""
    part = min(1.0, max_side / max(size.width, size.height))
    return Size(max(2, round(size.width * part / 2) * 2), max(2, round(size.height * part / 2) * 2))


def of_frame(frame: Any, limits: CameraLimits) -> bytes:
    """Encode a decoded PyAV frame as JPEG: scale and convert to full range in one step, and rotate, without RGB."""
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
    """The rotation for a frame with a display matrix, as phones write it; None: the frame is upright.

    The matrix maps (x, y) to (ax + cy, bx + dy), y downwards (libavutil/display.h). Only its signs matter, because
    there are only eight orientations.
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
    """Encode a YUV420 buffer in libcamera's layout, (1.5 height, stride): Y, then U, V in rows of half the stride."""
    height, width = size.height, size.width
    chroma = stacked[height:].reshape(-1, stacked.shape[1] // 2)
    planes = stacked[:height, :width], chroma[: height // 2, : width // 2], chroma[height // 2 : height, : width // 2]
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*map(np.ascontiguousarray, planes), quality))


def _plane(plane: Any) -> NDArray[np.uint8]:
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width])
