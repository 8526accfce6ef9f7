"""The scene gate at its default setting, compared with full inference on every frame, with the real model.

Full inference is the reference. The gated answer must contain each of its detections with a confidence of at least 0.35
and an area above 24x24 px of the network's input, in the same place; a new object may appear one frame late. Both use
the product's own code with a simulated clock. A frame that the gate does not hold is inferred anyway, so its answer is
also the reference.

Sequences, at 10 frames per second: a video of a fixed camera, and composed ones, in which a person cut out of a
photograph, or the drawn STOP sign, is put into another photograph or the drawn street. Photographs and video are not
part of the project; without them, only the drawn sequences run.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.flow.inference import Inference, Network
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import Box, Detected, Detection, Frame, ResultFilter, Size
from appliance.vision import decode, scene
from tests.benchmarks.report import Row
from tests.evaluation.coco import DATA

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""

SIZE = Size(1280, 720)
FPS = 10
SURE = 0.35
"""Confidence above which a missing detection counts. Cameras get detections from 0.25, but those flicker near it."""
LEAST_AREA = 24 * 24
SAME_PLACE, SAME_OBJECT = 0.5, 0.3
"""IoU of a correct answer, and of the same object in consecutive frames."""
NEW_AFTER = 5
"""An object counts as new if full inference has not found it in this many previous frames."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Pictures of one camera. `group`: the heading for its results."""

    group: str
    name: str
    frames: Iterable[Pixels]


@dataclass(frozen=True, slots=True)
class Tally:
    """The results of one sequence, in frames and detections."""

    group: str
    name: str
    frames: int
    held: int
    wanted: int
    kept: int
    moved: int
    """The part of `wanted` that full inference did not find in that place one frame earlier."""
    late: tuple[int, ...]
    """For each new object: the consecutive frames in which full inference found it and the gated answer did not."""
    gate_ms: tuple[float, ...]
    infer_ms: tuple[float, ...]
    """CPU time of an inferred frame, on all threads; `gate_ms`: of a held frame, on its thread."""

    def __str__(self) -> str:
        lost, late = self.wanted - self.kept, max(self.late, default=0)
        held = f"{self.held} of {self.frames} held"
        return f"{self.name}: {held}, {lost} of {self.wanted} lost ({self.moved} new or moved), {late} late"


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime"})
    network = load_network(settings)
    try:
        tallies = [_watch(network, settings.flow, sequence) for sequence in _sequences()]
    finally:
        network.engine.close()
    return list(_rows(tallies))


def _rows(tallies: list[Tally]) -> Iterator[Row]:
    for tally in tallies:
        print(f"  {tally.group}, {tally}")
    for group in dict.fromkeys(tally.group for tally in tallies):
        ours = [tally for tally in tallies if tally.group == group]
        wanted, held, frames = (sum(getattr(t, name) for t in ours) for name in ("wanted", "held", "frames"))
        worst = min(ours, key=lambda tally: tally.kept / max(1, tally.wanted))
        kept, moved = sum(tally.kept for tally in ours), sum(tally.moved for tally in ours)
        detail = (
            f"{wanted} detections, {moved} of them new or moved since the previous frame; {held} of {frames} frames "
            f"held; worst is {worst}"
        )
        yield Row(f"scene gate: recall, {group}", kept / max(1, wanted), 0.995, False, detail)
    latest = max(tallies, key=lambda tally: max(tally.late, default=0))
    count = sum(len(tally.late) for tally in tallies)
    detail = f"{count} objects that appeared or jumped; worst is {latest}"
    yield Row("scene gate: new objects, frames late", max(latest.late, default=0), 1, True, detail)
    still = [tally for tally in tallies if tally.group == STILL]
    held, frames = sum(tally.held for tally in still), sum(tally.frames for tally in still)
    detail = "; ".join(f"{tally.name} {tally.held} of {tally.frames}" for tally in still)
    yield Row("scene gate: part of frames held, still scene", held / frames, 0.8, False, detail)
    gate_ms = statistics.median(ms for tally in tallies for ms in tally.gate_ms)
    infer_ms = statistics.median(ms for tally in tallies for ms in tally.infer_ms)
    detail = f"{gate_ms:.2f}/{infer_ms:.1f} ms per frame"
    yield Row("scene gate: CPU time / inference of a frame", gate_ms / infer_ms, 0.15, True, detail)


def _watch(network: Network, flow: FlowSettings, sequence: Sequence) -> Tally:
    """Run one sequence with the gate and with full inference."""
    now_s = 0.0
    full = Inference(network, clock=lambda: now_s)
    gated = Inference(network, clock=lambda: now_s, refresh_s=flow.refresh_s)
    seen, truths, answers = None, [], []
    held, gate_ms, infer_ms = 0, [], []
    for number, pixels in enumerate(sequence.frames):
        now_s = number / FPS
        picture = decode.read_header(decode.encode_jpeg(pixels, flow.jpeg_quality), flow.max_pixels)
        frame = Frame("bench", "bench", number, picture, ResultFilter(0.25), now_s)
        started_s, started_here_s = time.process_time(), time.thread_time()
        answer = gated.run(frame, flow.max_side, seen)
        spent_s, spent_here_s = time.process_time() - started_s, time.thread_time() - started_here_s
        seen = answer.scene
        truth = answer.detected
        if answer.detected.cached:
            held += 1
            gate_ms.append(spent_here_s * 1000)
            truth = full.run(frame, flow.max_side).detected
        elif number:
            infer_ms.append(spent_s * 1000)
        truths.append(truth)
        answers.append(answer.detected.detections)
    pairs = [
        [(one, any(_same(one, other, SAME_PLACE) for other in answer)) for one in _sure(truth)]
        for truth, answer in zip(truths, answers, strict=True)
    ]
    wanted, kept = sum(len(pair) for pair in pairs), sum(has for pair in pairs for _, has in pair)
    late = tuple(_late([truth.detections for truth in truths], pairs))
    moved = sum(
        not any(_same(one, other, SAME_PLACE) for other in before.detections)
        for before, pair in zip(truths, pairs[1:], strict=False)
        for one, _ in pair
    )
    return Tally(
        sequence.group, sequence.name, len(truths), held, wanted, kept, moved, late, tuple(gate_ms), tuple(infer_ms)
    )


def _sure(truth: Detected) -> list[Detection]:
    """The detections that must not be lost."""
    scale = max(truth.input_size.width, truth.input_size.height) / max(truth.image_size.width, truth.image_size.height)
    return [
        one for one in truth.detections
        if one.confidence >= SURE and _area(one.box_px) * scale * scale > LEAST_AREA
    ]  # fmt: skip


def _late(truths: list[tuple[Detection, ...]], pairs: list[list[tuple[Detection, bool]]]) -> Iterator[int]:
    """For each new object of full inference, the frames until the gated answer contains it."""
    for number in range(NEW_AFTER, len(pairs)):
        before = [one for truth in truths[number - NEW_AFTER : number] for one in truth]
        for one, has in pairs[number]:
            if any(_same(one, other, SAME_OBJECT) for other in before):
                continue
            late, last = 0, one
            for following in pairs[number + 1 :]:
                if has:
                    break
                late += 1
                again = [(other, found) for other, found in following if _same(last, other, SAME_OBJECT)]
                if not again:
                    break
                last, has = again[0]
            yield late


def _same(one: Detection, other: Detection, least_iou: float) -> bool:
    a, b = one.box_px, other.box_px
    both = _area(Box(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2)))
    return one.class_id == other.class_id and both >= least_iou * (_area(a) + _area(b) - both)


def _area(box: Box) -> float:
    return max(0.0, box.x2 - box.x1) * max(0.0, box.y2 - box.y1)


# The pictures.

STILL, LIGHT = "still scene", "light and noise"


@dataclass(frozen=True, slots=True)
class Cutout:
    """An object without its background: its pixels, and its opacity in each pixel, (height, width, 1), 0-1."""

    pixels: NDArray[np.float32]
    part: NDArray[np.float32]

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


@dataclass(frozen=True, slots=True)
class Stage:
    """An empty scene, an object, and the object's place and height in px of the picture."""

    name: str
    empty: Pixels
    object: Cutout
    x: int
    y: int
    height: int
    """52-80, which is 26-40 px in the network's input."""

    def shown(self, x: int | None = None, strength: float = 1.0, brightness: float = 1.0) -> Pixels:
        return self.object.at(self.empty, self.x if x is None else x, self.y, self.height, strength, brightness)


def _sequences() -> Iterator[Sequence]:
    video = DATA / "vtest.avi"
    if video.exists():
        yield Sequence("video", "every 5th frame", _video_frames(video, 0, 795, 5))
        yield Sequence("video", "slow stretch, every frame", _video_frames(video, 384, 464, 1))
        quiet = (pixels[360:, :384] for pixels in _video_frames(video, 0, 795, 5))
        yield Sequence("video", "a quiet corner, every 5th frame", quiet)
    else:
        print(f"scene gate: video skipped; {video} does not exist")
    for stage in _stages():
        for group, name, sigma, picture in _acts(stage):
            yield Sequence(group, f"{name}, {stage.name}", _noisy((picture(n) for n in range(60)), sigma))


def _acts(stage: Stage) -> Iterator[tuple[str, str, float, Callable[[int], Pixels]]]:
    """The group, name, standard deviation of the noise, and a function from a frame number (0-59) to a picture."""
    shown, empty = stage.shown(), stage.empty
    random = np.random.default_rng(1)
    shakes = random.integers(-3, 4, (60, 2))
    for sigma in (2, 4):
        yield STILL, f"noise {sigma}", sigma, lambda n: shown
    yield LIGHT, "noise 8", 8, lambda n: shown
    for part in (0.05, 0.1):
        yield LIGHT, f"lamps flicker {part:.0%}", 2, _flickering(shown, part)
    yield LIGHT, "a cloud", 2, lambda n: _lit(shown, 1 - 0.3 * n / 59)
    yield LIGHT, "dusk", 2, lambda n: _lit(shown, 0.4)
    yield LIGHT, "night", 12, lambda n: _lit(shown, 0.3)
    yield "shake", "3 px", 2, lambda n: _moved(shown, *shakes[n])
    for sigma in (2, 6):
        yield "objects", f"appears, noise {sigma}", sigma, lambda n: shown if n >= 20 else empty
    yield "objects", "leaves", 2, lambda n: empty if n >= 40 else shown
    yield "objects", "enters slowly", 2, lambda n: stage.shown(2 * n - stage.height)
    yield "objects", "creeps", 4, lambda n: stage.shown(stage.x + n - 30)
    yield "objects", "low contrast", 4, lambda n: stage.shown(strength=0.35) if n >= 20 else empty
    yield (
        "objects",
        "almost the background's brightness",
        2,
        lambda n: stage.shown(brightness=0.2) if n >= 20 else empty,
    )


def _flickering(pixels: Pixels, part: float) -> Callable[[int], Pixels]:
    bright, dark = _lit(pixels, 1 + part), _lit(pixels, 1 - part)
    return lambda n: bright if n % 2 else dark


def _stages() -> Iterator[Stage]:
    street, _ = scene.draw(SIZE, at=0.9)
    yield Stage("drawn street", street, _sign(), 300, 300, 64)
    photos = DATA / "coco64/images"
    if not photos.exists():
        print(f"scene gate: photographs skipped; {photos} does not exist")
        return
    person = _cut(_read(photos / "000000006954.jpg"), Box(145, 136, 267, 330))
    yield Stage("road", _widescreen(_read(photos / "000000001532.jpg")), person, 700, 640, 76)
    yield Stage("beach", _widescreen(_read(photos / "000000007281.jpg")), person, 200, 640, 76)


def _video_frames(path: Path, first: int, last: int, step: int) -> Iterator[Pixels]:
    video = cv2.VideoCapture(str(path))
    for number in range(last):
        good, pixels = video.read()
        if not good:
            break
        if number >= first and (number - first) % step == 0:
            yield cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    video.release()


def _noisy(pictures: Iterable[Pixels], sigma: float) -> Iterator[Pixels]:
    """Add noise to the pictures, cut from one large field at random places: new noise for each would be too slow."""
    random = np.random.default_rng(7)
    field = random.standard_normal((SIZE.height + 199, SIZE.width + 199, 3), np.float32) * np.float32(sigma)
    noise = field.round().astype(np.int16)
    for pixels in pictures:
        y, x = random.integers(0, 200, 2)
        yield cv2.add(pixels, noise[y : y + SIZE.height, x : x + SIZE.width], dtype=cv2.CV_8U)


def _lit(pixels: Pixels, gain: float) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=gain), np.uint8)


def _moved(pixels: Pixels, x: int, y: int) -> Pixels:
    by = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return np.asarray(cv2.warpAffine(pixels, by, (SIZE.width, SIZE.height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _read(path: Path) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def _widescreen(photo: Pixels) -> Pixels:
    """The lower part of a photograph, enlarged to the camera's size."""
    scale = max(SIZE.width / photo.shape[1], SIZE.height / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[-SIZE.height :, : SIZE.width], np.uint8).copy()


def _cut(photo: Pixels, box: Box) -> Cutout:
    """Cut out the object in a box with GrabCut."""
    left, top, right, bottom = (round(value) for value in (box.x1, box.y1, box.x2, box.y2))
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(photo, mask, (left, top, right - left, bottom - top), *models, 4, cv2.GC_INIT_WITH_RECT)
    part = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    window = np.s_[top:bottom, left:right]
    return Cutout(photo[window].astype(np.float32), part[window].astype(np.float32)[..., None])


def _sign() -> Cutout:
    """The drawn STOP sign without its pole."""
    pixels, box = scene.draw(SIZE)
    left, top, right, bottom = (round(value) for value in (box.x1, box.y1, box.x2, box.y2))
    width, height = right - left, bottom - top
    cut = 1 - 1 / math.sqrt(2)
    x, y = round(width * cut), round(height * cut)
    corners = [(x, 0), (width - x, 0), (width, y), (width, height - y),
               (width - x, height), (x, height), (0, height - y), (0, y)]  # fmt: skip
    part = np.zeros((height, width), np.uint8)
    cv2.fillPoly(part, [np.array(corners, np.int32)], 1)
    return Cutout(pixels[top:bottom, left:right].astype(np.float32), part.astype(np.float32)[..., None])
