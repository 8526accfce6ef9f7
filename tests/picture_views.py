"""Cameras on which no limit was chosen: in front of drawn scenes and photographs, and of a real camera's video.

Photographs and video are used where `$EVAL_DATA` has them. Half of the photographs, drawn by lot, and the first half of
the video served to choose the limits of `flow/picture_watch.py`; they are not used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.picture_stages import HEIGHT, WIDTH, Camera, Light, window

DRAWN_SEEDS = range(4000, 4020)
_SPLIT_SEED = 19
_NOISES = (1.0, 2.5, 4.0)
_VIDEO_STEP = 2
_VIDEO_FPS = 10.0 / _VIDEO_STEP


@dataclass
class VideoCamera(Camera):
    """A camera whose view is a part of a real camera's video, played again and again."""

    frames: tuple[NDArray[np.uint8], ...] = ()

    def light(self, at_s: float, gain: float = 1.0) -> Light:
        frame = self.frames[round(at_s * _VIDEO_FPS) % len(self.frames)]
        return np.asarray(window(frame, self.x, self.y) * np.float32(gain), np.float32)


def names(data: Path) -> list[str]:
    """All cameras, as `camera` accepts them: `drawn 4000`, `photo 3`, `video 0`."""
    videos = 2 if (data / "vtest.avi").exists() else 0
    return [
        *(f"drawn {seed}" for seed in DRAWN_SEEDS),
        *(f"photo {number}" for number in range(len(_photos(data)))),
        *(f"video {number}" for number in range(videos)),
    ]


def camera(name: str, data: Path) -> Camera:
    kind, _, text = name.partition(" ")
    number = int(text)
    noise = _NOISES[number % len(_NOISES)]
    if kind == "drawn":
        return Camera(number, noise=noise)
    if kind == "photo":
        return Camera(7100 + number, _among_others(_photos(data), number), noise)
    frames = _frames(data / "vtest.avi", (800, 600) if number == 0 else None)
    return VideoCamera(9100 + number, frames[0].astype(np.float32), 2.0, frames=frames)


def _photos(data: Path) -> list[Path]:
    """The photographs that are held out."""
    paths = sorted((data / "coco64/images").glob("*.jpg"))
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(paths))
    return [paths[number] for number in order[len(paths) // 2 :]]


def _among_others(paths: list[Path], number: int) -> Light:
    """A photograph among four others, which the camera sees when it is turned."""
    near = [_picture(paths[(number + step) % len(paths)]) for step in range(5)]
    large = np.empty((2 * HEIGHT, 2 * WIDTH, 3), np.float32)
    large[:HEIGHT, :WIDTH], large[:HEIGHT, WIDTH:] = near[1], near[2]
    large[HEIGHT:, :WIDTH], large[HEIGHT:, WIDTH:] = near[3], near[4]
    top, left = HEIGHT // 2, WIDTH // 2
    large[top : top + HEIGHT, left : left + WIDTH] = near[0]
    return large


def _picture(path: Path) -> Light:
    """A photograph that fills the camera's picture."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    scale = max(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    size = (max(WIDTH, round(image.shape[1] * scale)), max(HEIGHT, round(image.shape[0] * scale)))
    fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (fitted.shape[1] - WIDTH) // 2, (fitted.shape[0] - HEIGHT) // 2
    return np.asarray(fitted[top : top + HEIGHT, left : left + WIDTH], np.float32)


def _frames(path: Path, size: tuple[int, int] | None) -> tuple[NDArray[np.uint8], ...]:
    """The second half of a video, in its own size or in another."""
    clip = cv2.VideoCapture(str(path))
    count, frames = int(clip.get(cv2.CAP_PROP_FRAME_COUNT)), []
    for number in range(count):
        ok, image = clip.read()
        if ok and number >= count // 2 and number % _VIDEO_STEP == 0:
            frames.append(np.asarray(image if size is None else cv2.resize(image, size), np.uint8))
    return tuple(frames)
