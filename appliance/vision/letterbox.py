"""How a picture is laid into a network's input, and how boxes come back out of it.

The picture is scaled to fit, its aspect kept, and centred on grey. The input is only as large as the aspect needs, in
multiples of the network's stride: a 1280x720 picture runs at 640x384, not at 640x640. Rounding follows Ultralytics'
`LetterBox` and `scale_boxes`, so that both give the same boxes for the same network. Networks of other families were
shown their pictures otherwise, see PLACINGS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.values import Size

GREY = 114
"""The level of the border that these networks were trained with."""

Placing = Literal["centre", "corner", "stretch"]
PLACINGS: tuple[Placing, ...] = ("centre", "corner", "stretch")
"""Where a picture lies in an input of another aspect: in its middle, in its upper left corner, or over all of it."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """One picture's place in one input, px: `image` is scaled to `inner`, which lies at (`left`, `top`) in `outer`."""

    image: Size
    inner: Size
    outer: Size
    left: int
    top: int

    def to_image(self, boxes_in: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4: x1 y1 x2 y2) in the input's pixels -> the picture's pixels, cut at its edges."""
        return self.points_to_image(boxes_in.reshape(-1, 2, 2)).reshape(-1, 4)

    def points_to_image(self, points_in: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (…, 2: x y), in the same way."""
        points_px = (points_in - np.array([self.left, self.top], np.float32)) / self._gains()
        return np.asarray(
            np.clip(points_px, 0, np.array([self.image.width, self.image.height], np.float32)), np.float32
        )

    def extents_to_image(self, boxes_in: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4: centre and extent), in the same way, but not cut."""
        centres = (boxes_in[:, :2] - np.array([self.left, self.top], np.float32)) / self._gains()
        return np.concatenate((centres, boxes_in[:, 2:] / self._gains()), axis=1).astype(np.float32)

    def cut(self, boxes_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (n, 4: x1 y1 x2 y2) in the picture's pixels, cut at its edges."""
        edge = np.array([self.image.width, self.image.height] * 2, np.float32)
        return np.asarray(np.clip(boxes_px, 0, edge), np.float32)

    def _gains(self) -> NDArray[np.float32]:
        """Of x and of y: each side was rounded to whole pixels by itself."""
        return np.array([self.inner.width / self.image.width, self.inner.height / self.image.height], np.float32)


def input_size(image: Size, max_side: int, stride: int) -> Size:
    """The smallest input for a picture of this size whose longest side is `max_side`, in multiples of `stride`."""
    inner = _fit(image, Size(max_side, max_side))
    return Size(_up(inner.width, stride), _up(inner.height, stride))


def fit(image: Size, outer: Size, placing: Placing = "centre") -> Letterbox:
    """The place of a picture of this size in an input of that size."""
    if placing == "stretch":
        return Letterbox(image, outer, outer, 0, 0)
    inner = _fit(image, outer)
    if placing == "corner":
        return Letterbox(image, inner, outer, 0, 0)
    left = round((outer.width - inner.width) / 2 - 0.1)
    top = round((outer.height - inner.height) / 2 - 0.1)
    return Letterbox(image, inner, outer, left, top)


def _fit(image: Size, outer: Size) -> Size:
    gain = min(outer.width / image.width, outer.height / image.height)
    return Size(max(1, round(image.width * gain)), max(1, round(image.height * gain)))


def _up(length: int, stride: int) -> int:
    return math.ceil(length / stride) * stride
