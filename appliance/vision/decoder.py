"""Where images are decoded: on the frame's own thread, or in a process that can do nothing else (`isolation`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from appliance.ports import Tensor
from appliance.values import Picture
from appliance.vision import decode, thumbnail
from appliance.vision.letterbox import Letterbox
from appliance.vision.thumbnail import Cells
from appliance.vision.window import PicturePart


class Decoder(Protocol):
    """Decodes images of cameras. Thread-safe."""

    def load(self, picture: Picture, place: Letterbox) -> Tensor:
        """See `decode.load`. Raises BadFrame; EngineError if nothing can be decoded now."""

    def load_windows(self, picture: Picture, windows: Sequence[PicturePart]) -> list[Tensor]:
        """See `decode.load_windows`. Raises as `load` does."""

    def mean_colours(self, picture: Picture) -> Cells | None:
        """See `thumbnail.mean_colours`."""

    def close(self) -> None:
        """Release what it uses; nothing is decoded any more."""


class OwnThread:
    """Decodes on the calling thread."""

    def load(self, picture: Picture, place: Letterbox) -> Tensor:
        return decode.load(picture, place)

    def load_windows(self, picture: Picture, windows: Sequence[PicturePart]) -> list[Tensor]:
        return decode.load_windows(picture, windows)

    def mean_colours(self, picture: Picture) -> Cells | None:
        return thumbnail.mean_colours(picture)

    def close(self) -> None:
        pass
