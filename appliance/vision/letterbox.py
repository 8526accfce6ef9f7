"""Letterboxing: place an image in a network's input, and map boxes back to the image.

The image is scaled to fit with its aspect ratio preserved, and centred on grey. The input is only as large as the
aspect ratio requires, in multiples of the network's stride: a 1280x720 image runs at 640x384, not at 640x640. Rounding
follows Ultralytics' `LetterBox` and `scale_boxes`, so that both produce the same boxes for the same network. Networks
of other families are trained with other placings, see PLACINGS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.values import Size

GREY = 114
"""Grey level of the border in training."""

Placing = Literal["centre", "corner", "stretch"]
PLACINGS: tuple[Placing, ...] = ("centre", "corner", "stretch")
"""How an image fills an input of another aspect ratio: centred, in the upper left corner, or stretched to fill it."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """An image's place in an input, px: `image` is scaled to `inner`, which is at (`left`, `top`) in `outer`."""

    image: Size
    inner: Size
    outer: Size
    left: int
    top: int

    def to_image(self, boxes_in: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes (n, 4: x1 y1 x2 y2) from input to image pixels, clipped to the image."""
        return self.points_to_image(boxes_in.reshape(-1, 2, 2)).reshape(-1, 4)

    def points_to_image(self, points_in: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points (…, 2: x y) from input to image pixels, clipped to the image."""
        points_px = (points_in - np.array([self.left, self.top], np.float32)) / self._gains()
        return np.asarray(
            np.clip(points_px, 0, np.array([self.image.width, self.image.height], np.float32)), np.float32
        )

    def extents_to_image(self, boxes_in: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes (n, 4: centre and extent) from input to image pixels, without clipping."""
        centres = (boxes_in[:, :2] - np.array([self.left, self.top], np.float32)) / self._gains()
        return np.concatenate((centres, boxes_in[:, 2:] / self._gains()), axis=1).astype(np.float32)

    def clip(self, boxes_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Clip boxes (n, 4: x1 y1 x2 y2) in image pixels to the image."""
        edge = np.array([self.image.width, self.image.height] * 2, np.float32)
        return np.asarray(np.clip(boxes_px, 0, edge), np.float32)

    def _gains(self) -> NDArray[np.float32]:
        """Scale factors of x and y, which differ because each side is rounded to whole pixels."""
        return np.array([self.inner.width / self.image.width, self.inner.height / self.image.height], np.float32)


def input_size(image: Size, max_side: int, stride: int) -> Size:
    """The smallest input for an image of this size with `max_side` as its longest side, in multiples of `stride`."""
    inner = _fit(image, Size(max_side, max_side))
    return Size(_up(inner.width, stride), _up(inner.height, stride))


def fit(image: Size, outer: Size, placing: Placing = "centre") -> Letterbox:
    """The place of an image of this size in an input of size `outer`."""
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
