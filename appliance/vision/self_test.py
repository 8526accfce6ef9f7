"""The self-test image with drawn stop signs, and the check of a network's detections in it.

Rules of this file:
- Three signs of three sizes: large, medium and small objects come from different layers of a detection network.
- Class, place and number of the detections count. A damaged network seldom loses all objects; it detects half or twice
  as many.
- A few wrong boxes are allowed: SSD-MobileNet detects one sign twice although it works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from appliance.values import Detection, Picture, Size
from appliance.vision import decode, scene
from appliance.vision.likeness import match

SIZE = Size(1280, 720)
CONFIDENCE = 0.25
"""Required for each sign. YOLO11n, YOLOv8n, EfficientDet-Lite0 and SSD-MobileNet reach 0.73 or more from 320x192 on."""
_MIN_SIGN_PX = 28
"""Width in the network's input below which a sign may be missed, because YOLO11n then detects only some of them."""


@dataclass(frozen=True, slots=True)
class SelfTestImage:
    """The image and the signs in it, in its own pixels."""

    jpeg: bytes
    signs: tuple[Detection, ...]

    @property
    def picture(self) -> Picture:
        return decode.read_header(self.jpeg, SIZE.width * SIZE.height)

    def problem(self, detections: Sequence[Detection], input_size: Size, max_detections: int) -> str | None:
        """Why the test fails for a network that has the class stop sign; None: it passes.

        `detections`: those with at least `CONFIDENCE`. `input_size`: of the network.
        """
        sure = [detection for detection in detections if detection.confidence >= CONFIDENCE]
        pairs = match(self.signs, sure)
        scale = min(input_size.width / SIZE.width, input_size.height / SIZE.height)
        large = {n for n, sign in enumerate(self.signs) if scale * (sign.box_px.x2 - sign.box_px.x1) >= _MIN_SIGN_PX}
        missing = len(large - {sign for sign, _, _ in pairs}) - max(0, len(large) - max_detections)
        if missing > 0:
            return (
                f"{len(large) - missing} of {len(large)} drawn stop signs were found in place (detections: {len(sure)})"
            )
        if len(sure) >= 2 * len(self.signs):
            return f"{len(sure)} objects were found in an image with {len(self.signs)} drawn stop signs"
        return None


@cache
def image() -> SelfTestImage:
    """The self-test image, drawn once."""
    pixels, boxes = scene.draw_signs(SIZE, scene.SIGNS)
    return SelfTestImage(decode.encode_jpeg(pixels, 85), tuple(Detection(scene.SIGN, 0, 1.0, box) for box in boxes))
