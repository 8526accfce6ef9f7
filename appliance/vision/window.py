"""A part of a picture, and its place in a network's input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from appliance.values import Box, Detection, Keypoint, Size
from appliance.vision.letterbox import Letterbox


@dataclass(frozen=True, slots=True)
class PicturePart:
    """A rectangle of a picture with its upper left corner at (`left`, `top`), px of the picture.

    `place`: of this rectangle in the input; `place.image` is the rectangle's size.
    """

    left: int
    top: int
    place: Letterbox

    @property
    def box_px(self) -> Box:
        """The rectangle, in the picture's pixels."""
        return Box(self.left, self.top, self.left + self.place.image.width, self.top + self.place.image.height)

    @property
    def scale(self) -> float:
        """Pixels of the input for each pixel of the picture; 1: at its own detail."""
        return self.place.inner.width / self.place.image.width

    def is_whole(self, picture: Size) -> bool:
        """Whether it shows the whole of a picture of this size."""
        return self.place.image == picture

    def to_picture(self, found: Iterable[Detection]) -> tuple[Detection, ...]:
        """Convert detections from the window's pixels to the picture's."""
        if not (self.left or self.top):
            return tuple(found)
        return tuple(_moved(one, self.left, self.top) for one in found)


def _moved(one: Detection, x: float, y: float) -> Detection:
    box, outline, keypoints, corners = one.box_px, one.outline_px, one.keypoints_px, one.corners_px
    return replace(
        one,
        box_px=Box(box.x1 + x, box.y1 + y, box.x2 + x, box.y2 + y),
        outline_px=outline and tuple((px + x, py + y) for px, py in outline),
        keypoints_px=keypoints and tuple(Keypoint(point.x + x, point.y + y, point.seen) for point in keypoints),
        corners_px=corners and tuple((px + x, py + y) for px, py in corners),
    )
