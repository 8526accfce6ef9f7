"""Crops at the camera's own detail, compared with inference on the whole picture, with the real model.

Small objects cover less than 1 % of the picture. Composed sequences have known objects: the drawn STOP sign on the
drawn street, and objects of photographs on other photographs, which move, stop and appear, with noise, a swaying tree
or a changing light; objects that the model does not know at 64 px are left out. In the video the reference is inference
on overlapping tiles at its own size; in `four views` four parts of it are one picture. A false positive is a detection
where the reference has nothing of that class.

Both sides use the product's own code with a simulated clock, ten frames a second (the video: five). The first forty
frames are not counted: meanwhile the device measures whether crops pay. Photographs and video are not part of the
project; without them, only the drawn sequences run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.flow.crops.crops import Crops
from appliance.flow.crops.merge import Look, merge, overlaps
from appliance.flow.inference import Inference, Network
from appliance.flow.sizes import Sizes
from appliance.ports import Raw
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.values import Box, Detection, Frame, ResultFilter, Size
from appliance.vision import decode, scene
from appliance.vision.letterbox import Letterbox, fit
from appliance.vision.window import PicturePart
from tests.benchmarks.report import Row
from tests.evaluation.coco import DATA

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""

SIDE, FRAMES, SKIPPED = 640, 120, 40
SMALL, SURE, LEAST = 0.01, 0.35, 0.1
"""Part of the picture; confidence of a reference object that counts, and of one that excuses a detection."""
_TILE, _OVERLAP = 416, 128


@dataclass(frozen=True, slots=True)
class Clip:
    """A sequence of JPEGs. `truth`: the objects in a frame; `also`: what may be detected without being an error."""

    group: str
    name: str
    size: Size
    fps: float
    jpegs: list[bytes]
    truth: dict[int, list[Detection]]
    also: Sequence[Detection]


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over the frames of a clip, and CPU time for each frame."""

    frames: int
    wanted: int
    found: int
    false: int
    cpu_ms: float


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime"})
    network = load_network(settings, prepare=False)
    network = replace(network, sizes=Sizes(network.engine, 32, None, most=8))
    results: dict[str, list[tuple[Score, Score]]] = {}
    try:
        for clip in _clips(network):
            whole, crops = _run(network, clip, None), _run(network, clip, Crops())
            results.setdefault(clip.group, []).append((whole, crops))
            print(f"  {clip.group}, {clip.name}: {_shown(whole)} whole, {_shown(crops)} with crops", flush=True)
    finally:
        network.close()
    return [row for group, pairs in results.items() for row in _rows(group, pairs)]


def _shown(score: Score) -> str:
    return f"{score.found}/{score.wanted} found, {score.false} false, {score.cpu_ms:.1f} ms"


def _rows(group: str, pairs: list[tuple[Score, Score]]) -> Iterator[Row]:
    wanted = sum(whole.wanted for whole, _ in pairs)
    found, with_crops = (sum(pair[side].found for pair in pairs) for side in (0, 1))
    false, false_crops = (sum(pair[side].false for pair in pairs) for side in (0, 1))
    same = group.startswith("video")
    detail = f"{found} and {with_crops} of {wanted}"
    yield Row(
        f"crops: small objects / whole, {group}", with_crops / max(1, found), 0.98 if same else 1.5, False, detail
    )
    frames = sum(whole.frames for whole, _ in pairs)
    detail = f"{false} and {false_crops} in {frames} frames"
    yield Row(f"crops: further false positives a frame, {group}", (false_crops - false) / frames, 0.05, True, detail)
    ratio = statistics.fmean(crops.cpu_ms / whole.cpu_ms for whole, crops in pairs)
    detail = ", ".join(f"{crops.cpu_ms:.1f}/{whole.cpu_ms:.1f}" for whole, crops in pairs) + " ms"
    yield Row(f"crops: CPU time / whole, {group}", ratio, 1.05 if same else 0.7, True, detail)


def _run(network: Network, clip: Clip, crops: Crops | None) -> Score:
    now_s = 0.0
    inference = Inference(network, clock=lambda: now_s, crops=crops)
    for side in (SIDE, SIDE // 2):
        network.engine.prepare(network.sizes.best(clip.size, side))
    wanted = found = false = 0
    cpu_ms = []
    for number, data in enumerate(clip.jpegs):
        now_s = 1000 + number / clip.fps
        picture = decode.read_header(data, 40_000_000)
        started_s = time.process_time()
        answer = inference.run(Frame("bench", "bench", number, picture, ResultFilter(0.25), now_s), SIDE)
        spent_ms = (time.process_time() - started_s) * 1000
        if number < SKIPPED:
            continue
        cpu_ms.append(spent_ms)
        if number in clip.truth:
            counts = _count(clip, clip.truth[number], answer.detected.detections)
            wanted, found, false = wanted + counts[0], found + counts[1], false + counts[2]
    counted = sum(number >= SKIPPED for number in clip.truth)
    return Score(counted, wanted, found, false, statistics.fmean(cpu_ms))


def _count(clip: Clip, truth: list[Detection], answer: Sequence[Detection]) -> tuple[int, int, int]:
    """Small objects, those that were found, and detections where there is nothing."""
    small = [
        one
        for one in truth
        if one.confidence >= SURE and _area(one.box_px) < SMALL * clip.size.width * clip.size.height
    ]
    return len(small), sum(_paired(small, answer, 0.5)), len(answer) - sum(_paired(answer, [*truth, *clip.also], 0.3))


def _paired(these: Sequence[Detection], others: Sequence[Detection], least: float) -> list[bool]:
    """Which of these have a partner of their class among the others, one to one."""
    if not these or not others:
        return [False] * len(these)
    a, b = (
        np.array([(o.box_px.x1, o.box_px.y1, o.box_px.x2, o.box_px.y2) for o in group]) for group in (these, others)
    )
    iou, taken, paired = overlaps(a, b)[0], set(), []
    for number, one in enumerate(these):
        free = [n for n, other in enumerate(others) if n not in taken and other.class_id == one.class_id]
        best = max(free, key=lambda n: float(iou[number, n]), default=None)
        paired.append(best is not None and float(iou[number, best]) >= least)
        if best is not None and paired[-1]:
            taken.add(best)
    return paired


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def look(network: Network, pixels: Pixels, least: float = LEAST) -> list[Detection]:
    """Detections at the picture's own detail: in overlapping tiles, and in the whole at its own size."""
    size = Size(pixels.shape[1], pixels.shape[0])
    picture = decode.read_header(decode.encode_jpeg(pixels, 95), 40_000_000)
    tile = Size(min(_TILE, size.width), min(_TILE, size.height))
    rows, columns = _starts(size.height, tile.height), _starts(size.width, tile.width)
    windows = [PicturePart(x, y, fit(tile, _rounded(tile))) for y in rows for x in columns]
    windows.append(PicturePart(0, 0, fit(size, _rounded(Size(min(size.width, 1280), min(size.height, 736))))))
    wanted = ResultFilter(least)
    found = []
    for tensor, window in zip(decode.load_windows(picture, windows), windows, strict=True):
        network.engine.prepare(window.place.outer)
        place = window.place
        found.append(network.engine.infer(tensor, partial(_read_raw, network, place, wanted)))
    looks = [Look(window, window.to_picture(one)) for window, one in zip(windows, found, strict=True)]
    return [known.detection for known in merge((), looks, 0.0, size)]


def _read_raw(network: Network, place: Letterbox, wanted: ResultFilter, raw: Raw) -> tuple[Detection, ...]:
    return network.reader.read(raw, place, wanted)


def _starts(whole: int, tile: int) -> list[int]:
    count = max(1, -(-(whole - _OVERLAP) // (tile - _OVERLAP)))
    return [0] if count == 1 else [round(n * (whole - tile) / (count - 1)) for n in range(count)]


def _rounded(size: Size) -> Size:
    return Size(-(-size.width // 32) * 32, -(-size.height // 32) * 32)


# The pictures.


@dataclass(frozen=True, slots=True)
class Patch:
    """An object with a margin that fades into the background; `inner`: its box in the patch."""

    class_id: int
    pixels: NDArray[np.float32]
    opacity: NDArray[np.float32]
    inner: Box

    def onto(self, picture: Pixels, x: float, y: float, height: float) -> Box | None:
        """Draw it with the object's upper left corner at (x, y); return its box, None if most of it is outside."""
        scale = height / (self.inner.y2 - self.inner.y1)
        size = (max(1, round(self.pixels.shape[1] * scale)), max(1, round(self.pixels.shape[0] * scale)))
        pixels, opacity = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (self.pixels, self.opacity))
        left, top = round(x - self.inner.x1 * scale), round(y - self.inner.y1 * scale)
        x1, y1 = max(0, left), max(0, top)
        x2, y2 = min(picture.shape[1], left + size[0]), min(picture.shape[0], top + size[1])
        width = (self.inner.x2 - self.inner.x1) * scale
        box = Box(max(x, 0), max(y, 0), min(x + width, picture.shape[1]), min(y + height, picture.shape[0]))
        if x1 >= x2 or y1 >= y2 or box.x2 <= box.x1 or box.y2 <= box.y1 or _area(box) < 0.6 * width * height:
            return None
        part = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        under = picture[y1:y2, x1:x2]
        under[:] = np.rint(under * (1 - opacity[part][..., None]) + pixels[part] * opacity[part][..., None])
        return box


def _clips(network: Network) -> Iterator[Clip]:
    street, _ = scene.draw(Size(1280, 720), at=0.9)
    sign, box = scene.draw(Size(1280, 720))
    patches = [_patch(sign, box, 11)]
    for number in range(2):
        yield _composed(
            network,
            "drawn 1280x720",
            f"street, {'still' if number else 'light'}",
            street,
            patches,
            "still" if number else "light",
            number,
        )
    photos = sorted((DATA / "coco64/images").glob("*.jpg"))
    if photos:
        yield from _of_photographs(network, photos)
    else:
        print(f"crops: photographs skipped; {DATA / 'coco64'} does not exist")
    if (DATA / "vtest.avi").exists():
        yield from _of_video(network, DATA / "vtest.avi")
    else:
        print(f"crops: video skipped; {DATA / 'vtest.avi'} does not exist")


def _of_photographs(network: Network, photos: list[Path]) -> Iterator[Clip]:
    patches = [patch for photo in photos[:24] for patch in _objects_of(photo) if _is_known(network, patch)]
    random = np.random.default_rng(11)
    order = random.permutation(len(photos))
    kinds = (
        (Size(1280, 720), "still"),
        (Size(1280, 720), "tree"),
        (Size(1280, 720), "light"),
        (Size(1920, 1080), "still"),
    )
    for number, (size, kind) in enumerate(kinds):
        background = _fill(_read(photos[order[number]]), size)
        name = f"{kind} {number}"
        yield _composed(network, f"composed {size.width}x{size.height}", name, background, patches, kind, number)


def _composed(
    network: Network, group: str, name: str, background: Pixels, patches: list[Patch], kind: str, seed: int
) -> Clip:
    """Eight small objects: most walk, some stop and go on, stand or appear."""
    random = np.random.default_rng(seed)
    size = Size(background.shape[1], background.shape[0])
    noise = np.rint(random.standard_normal((size.height + 99, size.width + 99, 3)) * 3).astype(np.int16)
    actors = [_Actor.draw(random, patches, size) for _ in range(8)]
    jpegs, truth = [], {}
    for number in range(FRAMES):
        picture = background.copy()
        if kind == "tree":
            _sway(picture, number)
        if kind == "light":
            picture = cv2.convertScaleAbs(picture, alpha=1 + 0.06 * np.sin(0.2 * number))
        boxes = [(actor.patch.class_id, actor.act(picture, number)) for actor in actors]
        x, y = random.integers(0, 99, 2)
        picture = cv2.add(picture, noise[y : y + size.height, x : x + size.width], dtype=cv2.CV_8U)
        jpegs.append(decode.encode_jpeg(np.asarray(picture, np.uint8), 80))
        if number % 2 == 0:
            truth[number] = [Detection("", class_id, 1.0, box) for class_id, box in boxes if box is not None]
    return Clip(group, name, size, 10, jpegs, truth, look(network, background))


@dataclass(slots=True)
class _Actor:
    patch: Patch
    height: float
    x: float
    y: float
    step: float
    pause: tuple[int, int]
    hidden: bool
    """Whether it is not there in its pause, instead of standing still."""

    @classmethod
    def draw(cls, random: np.random.Generator, patches: list[Patch], size: Size) -> _Actor:
        patch = patches[random.integers(len(patches))]
        height = np.exp(random.uniform(np.log(40), np.log(80 if size.height == 720 else 100)))
        first, last = sorted(random.integers(0, FRAMES, 2)) if random.random() < 0.5 else (0, 0)
        if random.random() < 0.15:
            first, last = 0, FRAMES
        step = random.choice([-1, 1]) * random.uniform(0.03, 0.12) * height
        x, y = random.uniform(0.05, 0.9) * size.width, random.uniform(0.3, 0.9) * size.height - height
        return cls(patch, height, x, y, step, (first, last), bool(random.random() < 0.2 and last < FRAMES))

    def act(self, picture: Pixels, number: int) -> Box | None:
        paused = self.pause[0] <= number < self.pause[1]
        if not paused:
            self.x += self.step
            if not 0 < self.x < picture.shape[1] - self.height:
                self.step = -self.step
        return None if paused and self.hidden else self.patch.onto(picture, self.x, self.y, self.height)


def _sway(picture: Pixels, number: int) -> None:
    height, width = picture.shape[0] // 3, picture.shape[1] // 4
    crown = picture[:height, width : 2 * width]
    move = np.array([[1, 0, 6 * np.sin(0.9 * number)], [0, 1, 2 * np.sin(0.5 * number)]], np.float32)
    crown[:] = cv2.warpAffine(crown, move, (width, height), borderMode=cv2.BORDER_REFLECT)


def _objects_of(photo: Path) -> Iterator[Patch]:
    pixels = _read(photo)
    height, width = pixels.shape[:2]
    for line in (photo.parents[1] / "labels" / f"{photo.stem}.txt").read_text().splitlines():
        number, x, y, w, h = map(float, line.split())
        box = Box((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        if min(w * width, h * height) >= 48 and w < 0.85:
            yield _patch(pixels, box, int(number))


def _patch(pixels: Pixels, box: Box, class_id: int) -> Patch:
    """Cut out a box with an eighth of its size around it."""
    across, down = (box.x2 - box.x1) / 8, (box.y2 - box.y1) / 8
    left, top = max(0, int(box.x1 - across)), max(0, int(box.y1 - down))
    part = pixels[top : int(box.y2 + down), left : int(box.x2 + across)]
    fade_x = np.clip((0.5 + np.minimum(np.arange(part.shape[1]), np.arange(part.shape[1])[::-1])) / across, 0, 1)
    fade_y = np.clip((0.5 + np.minimum(np.arange(part.shape[0]), np.arange(part.shape[0])[::-1])) / down, 0, 1)
    inner = Box(box.x1 - left, box.y1 - top, box.x2 - left, box.y2 - top)
    return Patch(class_id, part.astype(np.float32), np.minimum.outer(fade_y, fade_x).astype(np.float32), inner)


def _is_known(network: Network, patch: Patch) -> bool:
    """Whether the model finds it at 64 px on grey."""
    picture = np.full((384, 384, 3), 128, np.uint8)
    box = patch.onto(picture, 150, 150, 64)
    truth = [Detection("", patch.class_id, 1.0, box)] if box is not None else []
    return any(_paired(truth, look(network, picture, 0.25), 0.5))


def _of_video(network: Network, path: Path) -> Iterator[Clip]:
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8))
    views: dict[str, list[Pixels]] = {"": [], ", four views": []}
    for number in range(0, 200, 2):
        four = [frames[(number + at) % len(frames)] for at in (0, 200, 400, 600)]
        views[""].append(frames[number])
        views[", four views"].append(np.vstack([np.hstack(four[:2]), np.hstack(four[2:])]))
    for name, pictures in views.items():
        size = Size(pictures[0].shape[1], pictures[0].shape[0])
        truth = {number: look(network, pictures[number]) for number in range(SKIPPED, len(pictures), 10)}
        jpegs = [decode.encode_jpeg(one, 90) for one in pictures]
        yield Clip(f"video{name}", f"{size.width}x{size.height}", size, 5, jpegs, truth, ())


def _read(path: Path) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def _fill(photo: Pixels, size: Size) -> Pixels:
    scale = max(size.width / photo.shape[1], size.height / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[-size.height :, : size.width], np.uint8)
