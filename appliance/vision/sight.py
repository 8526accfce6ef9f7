"""Whether a network sees: the known picture, with drawn stop signs, and what is wrong with an answer to it.

Rules of this file:
- Three signs of three sizes: large, medium and small objects come from different layers of a detection network.
- An answer counts by class, place and number. A damaged network seldom loses everything; it sees half or twice as much.
- A few wrong boxes are allowed: SSD-MobileNet finds one sign twice although it works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.values import Detection, Picture, Size
from appliance.vision import decode, scene
from appliance.vision.likeness import partners

SIZE = Size(1280, 720)
CONFIDENCE = 0.25
"""Asked of each sign. YOLO11n, YOLOv8n, EfficientDet-Lite0 and SSD-MobileNet give 0.73 and more from 320x192 on."""
_LEAST_PX = 28
"""A sign smaller than this in the network's input may be missed: below it YOLO11n finds some and misses others."""


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """The picture and what is drawn in it, in its pixels."""

    jpeg: bytes
    signs: tuple[Detection, ...]

    @property
    def picture(self) -> Picture:
        return decode.read_header(self.jpeg, SIZE.width * SIZE.height)

    def problem(self, found: Sequence[Detection], input_size: Size, most: int) -> str | None:
        """What is wrong with this answer of a network that knows stop signs; None: it sees.

        `found`: from `CONFIDENCE` on. `input_size`: of the network. `most`: objects that an answer can hold.
        """
        sure = [one for one in found if one.confidence >= CONFIDENCE]
        pairs = partners(self.signs, sure)
        scale = min(input_size.width / SIZE.width, input_size.height / SIZE.height)
        large = {n for n, sign in enumerate(self.signs) if scale * (sign.box_px.x2 - sign.box_px.x1) >= _LEAST_PX}
        missing = len(large - {sign for sign, _, _ in pairs}) - max(0, len(large) - most)
        if missing > 0:
            return (
                f"{len(large) - missing} of {len(large)} drawn stop signs were found where they are "
                f"({len(sure)} detections)"
            )
        if len(sure) >= 2 * len(self.signs):
            return f"{len(sure)} objects were found in a picture of {len(self.signs)} drawn stop signs"
        return None


def known_picture() -> KnownPicture:
    """Draw it."""
    pixels, boxes = scene.draw_signs(SIZE, scene.SIGNS)
    return KnownPicture(decode.encode_jpeg(pixels, 85), tuple(Detection(scene.SIGN, 0, 1.0, box) for box in boxes))
