"""Draw boxes and labels onto an image, for `appliance detect --save`."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.values import Detection


def draw_detections(image: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.uint8]:
    """Return a copy of the image, (height, width, 3) RGB, with a labelled box for each detection.

    The most confident detection is on top.
    """
    drawn = np.ascontiguousarray(image).copy()
    thick = max(1, round(max(drawn.shape[:2]) / 400))
    for detection in reversed(detections):
        colour = _colour(detection.class_id)
        x1, y1, x2, y2 = (
            round(v) for v in (detection.box_px.x1, detection.box_px.y1, detection.box_px.x2, detection.box_px.y2)
        )
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)
        label = f"{detection.name} {detection.confidence:.0%}"
        (width, height), below = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.3 * thick + 0.2, max(1, thick // 2))
        x = max(0, min(x1, drawn.shape[1] - width))
        y = max(height + below, y1)
        cv2.rectangle(drawn, (x, y - height - below), (x + width, y), colour, -1)
        cv2.putText(
            drawn, label, (x, y - below // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.3 * thick + 0.2, (15, 15, 15),
            max(1, thick // 2), cv2.LINE_AA,
        )  # fmt: skip
    return drawn


def _colour(class_id: int) -> tuple[int, int, int]:
    """A colour that differs clearly between neighbouring classes: hues advance by the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb((class_id * 0.618034) % 1, 0.65, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
