"""Where a camera agent's pictures come from: a drawn scene, picture files, a video, a webcam, a network camera."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import SourceError
from appliance.ports import Clock, FrameSource
from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg

_PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def open_source(source: str) -> FrameSource:
    """`demo`, a folder or file of pictures, a video file, `/dev/videoN`, or an rtsp:// or http:// address.

    Raises SourceError when it is not there or cannot be read.
    """
    if source == "demo":
        return DemoSource()
    if re.match(r"[a-z]+://", source):
        return VideoSource(source, live=True)
    path = Path(source)
    if not path.exists():
        raise SourceError(f"{source}: there is no such file, folder or device")
    if path.is_dir() or path.suffix.lower() in _PICTURES:
        return PictureSource(path)
    return VideoSource(source, live=path.is_char_device())


class DemoSource:
    """A street where a STOP sign wanders from side to side, 1280x720 or what is asked for."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._size, self._quality = Size(1280, 720), 80

    def pictures(self) -> Iterator[bytes]:
        for number in itertools.count():
            at = 0.5 + 0.5 * math.sin(self._clock() * 0.9)
            pixels, _ = scene.draw(self._size, at, radius=0.15 + 0.04 * math.sin(self._clock() * 0.37), seed=number)
            yield encode_jpeg(pixels, self._quality)

    def resize(self, max_side: int, jpeg_quality: int) -> None:
        width = min(1280, max_side)
        self._size, self._quality = Size(width, round(width * 9 / 16)), jpeg_quality

    def close(self) -> None: ...


class PictureSource:
    """The picture files of a folder, in the order of their names, again and again; sent as they are."""

    def __init__(self, path: Path) -> None:
        self._paths = sorted(p for p in path.iterdir() if p.suffix.lower() in _PICTURES) if path.is_dir() else [path]
        if not self._paths:
            raise SourceError(f"{path}: no pictures in this folder ({', '.join(sorted(_PICTURES))})")

    def pictures(self) -> Iterator[bytes]:
        for path in itertools.cycle(self._paths):
            try:
                yield path.read_bytes()
            except OSError as error:
                raise SourceError(f"{path}: {error.strerror}") from None

    def resize(self, max_side: int, jpeg_quality: int) -> None: ...

    def close(self) -> None: ...


class VideoSource:
    """A video file at its own pace and again from its start, or a live camera's newest picture."""

    def __init__(self, source: str, *, live: bool, clock: Clock = time.monotonic) -> None:
        self._source, self._live, self._clock = source, live, clock
        self._max_side, self._quality = 4096, 80
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise SourceError(f"{source}: cannot be opened as a video or camera")

    def pictures(self) -> Iterator[bytes]:
        while True:
            fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
            started_s, shown = self._clock(), 0
            while True:
                due = shown if self._live else int((self._clock() - started_s) * fps)
                while shown < due and self._capture.grab():
                    shown += 1  # frames that passed while nobody asked
                ok, pixels = self._capture.read()
                if not ok:
                    break
                shown += 1
                if not self._live:
                    time.sleep(max(0.0, started_s + shown / fps - self._clock()))
                yield self._encode(np.asarray(pixels, np.uint8))
            if self._live or shown == 0:
                raise SourceError(f"{self._source}: no more pictures come from it")
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)

    def resize(self, max_side: int, jpeg_quality: int) -> None:
        self._max_side, self._quality = max_side, jpeg_quality

    def close(self) -> None:
        self._capture.release()

    def _encode(self, bgr: NDArray[np.uint8]) -> bytes:
        height, width = bgr.shape[:2]
        scale = self._max_side / max(height, width)
        if scale < 1:
            bgr = np.asarray(
                cv2.resize(bgr, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA), np.uint8
            )
        return encode_jpeg(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), self._quality)
