"""A demo camera: a drawn street with a moving STOP sign."""

from __future__ import annotations

import itertools
import math
import time

from appliance.camera.sources.jpeg import scaled
from appliance.camera.sources.source import Capture
from appliance.ports import Clock
from appliance.values import CameraLimits, Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg


class DemoSource:
    """Pictures of 1280x720, or smaller if the device requests it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count()

    def take(self, limits: CameraLimits) -> Capture:
        taken_s = self._clock()
        at = 0.5 + 0.5 * math.sin(taken_s * 0.9)
        radius = 0.15 + 0.04 * math.sin(taken_s * 0.37)
        pixels, _ = scene.draw(scaled(Size(1280, 720), limits.max_side), at, radius, seed=next(self._numbers))
        return Capture(encode_jpeg(pixels, limits.jpeg_quality), taken_s)

    def close(self) -> None: ...
