"""A drawn street scene with STOP signs: an image with known objects that is free of copyright.

Real models detect the signs (YOLO11n, YOLOv8n and YOLO26n with a confidence of at least 0.9). The self-test, the demo
camera and the end-to-end tests use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.values import Box, Size

SIGN = "stop sign"
"""The sign's class in COCO models."""
SIGNS = ((0.26, 0.40, 0.24), (0.60, 0.36, 0.15), (0.87, 0.42, 0.11))
"""The signs of the self-test image: x in image widths, y and radius in image heights."""

_SKY_ABOVE, _SKY_BELOW = np.array([96, 150, 205], np.float32), np.array([205, 222, 235], np.float32)
_WHITE, _RED, _POLE = (245, 245, 245), (190, 20, 28), (125, 128, 130)


def draw(size: Size, at: float = 0.5, radius: float = 0.17, seed: int = 0) -> tuple[NDArray[np.uint8], Box]:
    """Draw the scene with one sign, (height, width, 3) RGB. Returns it with the sign's box in pixels.

    `at`: position of the sign from left to right, 0-1. `radius`: of the sign, in image heights. `seed`: of the noise
    by which two images of the same scene differ, like those of a real camera.
    """
    image, (box,) = draw_signs(size, [(0.15 + 0.7 * at, 0.36, radius)], seed)
    return image, box


def draw_signs(
    size: Size, signs: Sequence[tuple[float, float, float]], seed: int = 0
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Draw the scene with these signs, each given by x (image widths), y and radius (image heights)."""
    width, height = size.width, size.height
    horizon = round(height * 0.62)
    image = np.empty((height, width, 3), np.uint8)
    shade = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    image[:horizon] = (_SKY_ABOVE * (1 - shade) + _SKY_BELOW * shade).astype(np.uint8)
    image[horizon:] = (92, 93, 96)
    _houses(image, horizon)
    cv2.rectangle(image, (0, horizon), (width, horizon + max(2, height // 40)), (168, 166, 158), -1)
    for n in range(6):
        x = round(width * (n + 0.2) / 6)
        cv2.rectangle(image, (x, round(height * 0.86)), (x + width // 14, round(height * 0.88)), (225, 222, 205), -1)
    boxes = tuple(_sign(image, round(width * x), round(height * y), height * radius) for x, y, radius in signs)
    grain = np.random.default_rng(seed).integers(0, 5, (height // 4 + 1, width // 4 + 1), np.uint8)
    noise = cv2.resize(grain, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.add(image, cv2.merge([noise] * 3)), np.uint8), boxes


def _houses(image: NDArray[np.uint8], horizon: int) -> None:
    height, width = image.shape[:2]
    for n, tone in enumerate(((150, 128, 112), (172, 160, 142), (134, 140, 136), (160, 134, 120))):
        left, right = round(width * n / 4), round(width * (n + 0.86) / 4)
        top = horizon - round(height * (0.16 + 0.05 * (n % 3)))
        cv2.rectangle(image, (left, top), (right, horizon), tone, -1)
        for window in range(3):
            x = left + round((right - left) * (0.14 + 0.28 * window))
            corner = (x + width // 40, top + height // 12)
            cv2.rectangle(image, (x, top + height // 30), corner, (86, 96, 108), -1)


def _sign(image: NDArray[np.uint8], x: int, y: int, radius: float) -> Box:
    height = image.shape[0]
    thick = max(2, round(radius * 0.1))
    cv2.rectangle(image, (x - thick // 2, y), (x + thick // 2, round(height * 0.9)), _POLE, -1)
    for scale, colour in ((1.0, _WHITE), (0.92, _RED)):
        corners = [
            (x + radius * scale * math.cos(math.pi / 8 + k * math.pi / 4),
             y + radius * scale * math.sin(math.pi / 8 + k * math.pi / 4))
            for k in range(8)
        ]  # fmt: skip
        cv2.fillPoly(image, [np.array(corners, np.float32).round().astype(np.int32)], colour, cv2.LINE_AA)
    stroke = max(1, round(radius / 9))
    (unit_width, _), _ = cv2.getTextSize("STOP", cv2.FONT_HERSHEY_SIMPLEX, 1.0, stroke)
    scale = 1.45 * radius / unit_width  # letter widths differ between OpenCV 4 and 5
    (text_width, text_height), _ = cv2.getTextSize("STOP", cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    origin = (round(x - text_width / 2), round(y + text_height / 2))
    cv2.putText(image, "STOP", origin, cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, stroke, cv2.LINE_AA)
    reach = radius * math.cos(math.pi / 8)
    return Box(x - reach, y - reach, x + reach, y + reach)
