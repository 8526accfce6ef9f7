"""Objects cut out of photographs, to put into other pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """An object without its background: its pixels, and its opacity in each pixel, (height, width), 0-1."""

    pixels: NDArray[np.float32]
    part: NDArray[np.float32]

    def onto(self, shown: Pixels, x: float, y: float, height: int, light: float = 1.0) -> None:
        """Put the object into a picture, with its lower left corner at (x, y), which may be outside.

        `light`: the brightness of the object, as a part of that in its photograph.
        """
        scale = height / self.part.shape[0]
        width = max(1, round(self.part.shape[1] * scale))
        left, top = int(np.floor(x)), int(np.floor(y)) - height
        move = np.array([[scale, 0, x - left], [0, scale, y - np.floor(y)]], np.float32)
        size = (width + 1, height + 1)
        shrunk = cv2.GaussianBlur(self.pixels, (0, 0), 0.4 / scale) if scale < 1 else self.pixels
        pixels = cv2.warpAffine(shrunk * np.float32(light), move, size, borderMode=cv2.BORDER_REPLICATE)
        part = cv2.warpAffine(self.part, move, size)[..., None]
        x1, x2 = max(0, left), min(shown.shape[1], left + size[0])
        y1, y2 = max(0, top), min(shown.shape[0], top + size[1])
        if x1 >= x2 or y1 >= y2:
            return
        inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        window = shown[y1:y2, x1:x2]
        mixed = window * (1 - part[inside]) + pixels[inside] * part[inside]
        window[:] = np.clip(mixed, 0, 255).astype(np.uint8)

    def at(self, onto: Pixels, x: int, y: int, height: int, strength: float = 1.0, brightness: float = 1.0) -> Pixels:
        """Put the object into a copy of a picture, with its lower left corner at (x, y), which may be outside.

        `strength`: opacity, 0-1. `brightness`: 1: the object's own brightness; 0: that of the background.
        """
        scale = height / self.part.shape[0]
        size = (max(1, round(self.part.shape[1] * scale)), height)
        pixels = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        part = cv2.resize(self.part, size, interpolation=cv2.INTER_AREA)[..., None] * np.float32(strength)
        left, right = max(0, x), min(onto.shape[1], x + size[0])
        top, bottom = max(0, y - height), min(onto.shape[0], y)
        shown = onto.copy()
        if left < right and top < bottom:
            inside = np.s_[top - y + height : bottom - y + height, left - x : right - x]
            window = shown[top:bottom, left:right]
            put = (window * (1 - part[inside]) + pixels[inside] * part[inside]).round().astype(np.uint8)
            before, after = cv2.cvtColor(window, cv2.COLOR_RGB2YCrCb), cv2.cvtColor(put, cv2.COLOR_RGB2YCrCb)
            after[..., 0] = cv2.addWeighted(before[..., 0], 1 - brightness, after[..., 0], brightness, 0)
            window[:] = put if brightness == 1 else cv2.cvtColor(after, cv2.COLOR_YCrCb2RGB)
        return shown


@lru_cache(maxsize=64)
def cut(photo: Path, box: tuple[int, int, int, int]) -> Cutout:
    """Cut out the object in a box (left, top, right, bottom) with GrabCut."""
    pixels = read(photo)
    left, top, right, bottom = box
    mask = np.zeros(pixels.shape[:2], np.uint8)
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, mask, (left, top, right - left, bottom - top), *models, 4, cv2.GC_INIT_WITH_RECT)
    part = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    window = np.s_[top:bottom, left:right]
    return Cutout(pixels[window].astype(np.float32), part[window].astype(np.float32))


def read(photo: Path) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB), np.uint8)


def widescreen(photo: Pixels, width: int, height: int) -> Pixels:
    """The lower part of a photograph, enlarged to a camera's size."""
    scale = max(width / photo.shape[1], height / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[-height:, :width], np.uint8).copy()
