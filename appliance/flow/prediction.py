"""Predict where an object is between two answers, from its course.

Only what a client asked for is predicted, for a second at most, and only objects that two answers or more have shown:
one that turns or stops is reported where it is not, until the next answer.
"""

from __future__ import annotations

from dataclasses import replace

from appliance.values import Box, Detection, Size
from appliance.vision.association import Course

MOST_S = 1.0
"""Time after the last answer for which objects are predicted: a walker who stops is 1.4 m off by then."""
_LEAST_LEFT = 0.3
"""An object is gone when less than this part of its box is in the picture."""


def predicted(last: Detection, course: Course, size: Size, at_s: float) -> Detection | None:
    """The detection at `at_s`; None: it has left the picture, of the given size."""
    passed_s = min(max(0.0, at_s - course.at_s), MOST_S)
    x, y = (speed * passed_s * size.height for speed in course.speed)
    box = last.box_px
    inside = Box(
        min(max(box.x1 + x, 0.0), size.width),
        min(max(box.y1 + y, 0.0), size.height),
        min(max(box.x2 + x, 0.0), size.width),
        min(max(box.y2 + y, 0.0), size.height),
    )
    if _area(inside) < _LEAST_LEFT * _area(box) or not _area(inside):
        return None
    corners = None if last.corners_px is None else tuple((px + x, py + y) for px, py in last.corners_px)
    return replace(last, box_px=inside, corners_px=corners, outline_px=None, keypoints_px=None, zones=None)


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)
