"""The values that all parts share: frozen dataclasses with units in their names, independent of every other module.

More than 300 lines, because they refer to each other, and every room needs most of them. What one room makes for those
above it is in that room, such as a finding in `health/finding.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeAlias

FrameId: TypeAlias = str | int | float
"""Chosen by the sender; a float is finite."""
BIG_BYTES = 128_000
"""Work on every byte of a frame larger than this does not run on the event loop."""
LARGE_BYTES = 24_000_000
"""A picture that needs more memory than this during decoding is large. Large pictures are decoded one at a time, see
`vision/admission.py`. JPEGs from cameras are never large; a PNG or WebP is at 4K, but not at 2560x1440.
"""
Cached: TypeAlias = Literal[False, "exact", "unchanged"]


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of a picture or tensor in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box by two corners, x to the right, y down. The variable's name states the coordinate space (`box_px`:
    the camera's pixels, `box_in`: the model's input)."""

    x1: float
    y1: float
    x2: float
    y2: float


Point: TypeAlias = tuple[float, float]
"""x to the right, y down. The variable's name states the coordinate space."""


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A keypoint of a pose."""

    x: float
    y: float
    seen: float
    """Confidence of the network that the point is visible, 0-1."""


@dataclass(frozen=True, slots=True)
class Track:
    """One object, followed from frame to frame."""

    track_id: int
    """Never used for another object of any camera while the service runs."""
    stationary: bool
    first_seen: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected object: `confidence` 0-1, all coordinates in pixels of the frame as it was sent."""

    name: str
    class_id: int
    confidence: float
    box_px: Box
    outline_px: tuple[Point, ...] | None = None
    """Outline of the largest part of the mask; segmentation models only."""
    keypoints_px: tuple[Keypoint, ...] | None = None
    """In the order of the training data; pose models only."""
    corners_px: tuple[Point, ...] | None = None
    """The corners of a rotated bounding box, in order around it; `box_px` is the upright box that encloses it."""
    zones: tuple[str, ...] | None = None
    """The zones that the object stands in; None: its camera has none."""
    age_s: float = 0.0
    """Time since it was found, if this frame's inference did not cover its place."""
    track: Track | None = None
    """Which object it is; None: tracks are off, or there are too many."""

    def older(self, by_s: float) -> Detection:
        """The same object, found so much longer ago."""
        return replace(self, age_s=round(self.age_s + by_s, 2))


Outline: TypeAlias = tuple[Point, ...]
"""A polygon in parts of the picture's width and height, 0-1: a change of resolution does not move it."""


@dataclass(frozen=True, slots=True)
class CameraZone:
    """A named part of a camera's picture. `classes`: the classes that it is for; None: all."""

    name: str
    outline: Outline
    classes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ClassFilter:
    """What a detection of a class must reach to be reported. Shares are of the picture's area, 0-1."""

    min_confidence: float = 0.0
    min_width_px: float = 0.0
    min_height_px: float = 0.0
    min_share: float = 0.0
    max_share: float = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """What is reported of a camera's picture: its zones, its masks, and filters by class."""

    zones: tuple[CameraZone, ...] = ()
    masks: tuple[Outline, ...] = ()
    """What stands here is not reported, and what changes here is no change of the scene."""
    classes: frozenset[str] | None = None
    """None: all."""
    filters: tuple[tuple[str, ClassFilter], ...] = ()
    """By class; `*`: for the classes without a filter of their own."""
    digest: str = ""
    """Equal for equal views; empty: everything is reported."""


FULL_VIEW = View()
"""Everything in the picture is reported."""


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """The detections a sender asks for: minimum confidence (0-1) and class names (None: all), in its camera's view."""

    min_confidence: float
    classes: frozenset[str] | None = None
    view: View = FULL_VIEW


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture with a parsed header; `size` is the displayed size, with the orientation applied."""

    data: bytes
    format: Literal["jpeg", "png", "webp"]
    size: Size
    orientation: int = 1
    """EXIF orientation, 1-8."""
    plain_jpeg: bool = False
    """A grey or YCbCr JPEG, which can be decoded at a reduced scale."""
    held_bytes: int = 0
    """Memory that decoding needs at any scale: the pixels of a PNG or WebP, the coefficients of a progressive JPEG."""

    @property
    def large(self) -> bool:
        """Whether it is decoded one at a time."""
        return self.held_bytes > LARGE_BYTES


def is_own_camera(name: str) -> bool:
    """Whether this is one of the service's own cameras (the self-test, a model's trial).

    They take no share of the engine and appear in no report. Clients' names never begin with `_`.
    """
    return name.startswith("_")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a camera, to be processed."""

    camera: str
    sender: str
    """The recipient of the result; only `web/` interprets it."""
    frame_id: FrameId
    picture: Picture
    wanted: ResultFilter
    received_s: float
    """Monotonic."""
    captured_at: float | None = None
    """Time by the camera's own clock, seconds since 1970, as it was sent."""
    lane: int = 0
    """A newer frame replaces a waiting one of the same camera and lane. Each HTTP request has a lane of its own."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Processing times of a frame in milliseconds; `total_ms` is from its arrival to its result."""

    wait_ms: float
    decode_ms: float
    infer_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Detected:
    """The result of a processed frame: its detections."""

    detections: tuple[Detection, ...]
    image_size: Size
    input_size: Size
    model: str
    timing: Timing
    cached: Cached = False
    regions: tuple[Box, ...] = ()
    """The parts of the picture that inference ran on, in its pixels; empty: the whole picture, once."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The frame was invalid, or processing failed."""

    code: str
    message: str


class SkipReason(str, Enum):
    """Why a valid frame was not processed."""

    RATE_LIMITED = "rate_limited"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    OVERLOADED = "overloaded"


@dataclass(frozen=True, slots=True)
class Skipped:
    """The frame was dropped on purpose; the next one has a chance after `retry_after_s`."""

    reason: SkipReason
    retry_after_s: float


Outcome: TypeAlias = Detected | Failed | Skipped


@dataclass(frozen=True, slots=True)
class Receipt:
    """The immediate status of an offered frame; its outcome is published separately."""

    status: Literal["queued", "cached", "skipped", "error"]
    reason: str | None = None
    retry_after_s: float | None = None

    @staticmethod
    def of(refusal: Failed | Skipped) -> Receipt:
        """The receipt of a frame that was not accepted."""
        if isinstance(refusal, Failed):
            return Receipt("error", refusal.code)
        return Receipt("skipped", refusal.reason.value, refusal.retry_after_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the whole device may do now, as decided by the governor."""

    max_side: int
    """Longest side of the model's input, px."""
    min_interval_s: float
    """Time between two frames of one camera; 0: limited by its fair share only."""
    max_in_flight: int
    admit: bool = True
    """False: refuse all frames, but stay reachable."""
    next_side: int = 0
    """The next smaller `max_side`, to prepare the network for it; 0: none."""
    duty: float = 1.0
    """Part of the engine's time that may be used, 0-1; less use means less heat."""
    lowest_priority: int = 0
    """Cameras below this priority are refused while a camera at or above it is sending."""
    new_cameras: bool = True
    """False: cameras that never received a result are refused."""
    cache_part: float = 1.0
    """Part of its configured size that the cache may use, 0-1."""
    most_sizes: int | None = None
    """Largest number of compiled input sizes to keep; None: as configured."""
    reason: str = "normal"


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """The limits that one camera is requested to observe."""

    min_interval_s: float
    max_side: int
    """Longest useful side of its pictures, px; larger ones are scaled down."""
    jpeg_quality: int
    reason: str


class PictureFault(str, Enum):
    """What is wrong with a camera's pictures."""

    COVERED = "covered"
    TURNED = "turned"
    BLURRED = "blurred"
    DARK = "dark"
    OVEREXPOSED = "overexposed"
    FROZEN = "frozen"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class GateStats:
    """What the scene gate does for one camera, and what its audits have shown."""

    held: int
    """Frames answered without inference."""
    audits: int
    """Frames that could have been held and were inferred."""
    missed: int
    """Audits in which the answer that would have been repeated lacked an object."""
    recall: float | None
    """Part of the objects that repeated answers have, 0-1, recent audits; None: no audit yet."""
    recall_at_least: float | None
    """Its lower bound, 95 %."""
    tolerance: float
    """How much change is tolerated; 1: as at the start."""
    rests: bool
    """It missed too much, and holds nothing for a while."""


@dataclass(frozen=True, slots=True)
class CameraStats:
    """One camera's counters since the start, and its rates over the last seconds."""

    received: int
    answered: int
    cached: int
    failed: int
    skipped: dict[str, int]
    received_fps: float
    answered_fps: float
    latency_ms: float | None
    """Time from arrival to result, moving average."""
    limits: CameraLimits
    picture_faults: tuple[PictureFault, ...] = ()
    """What is wrong with its pictures now."""
    gate: GateStats | None = None
    """Of the scene gate; None: switched off, or no frame yet."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Public information about the loaded model and its engine."""

    name: str
    engine: str
    device: str
    precision: str
    """`int8` for a quantized model; otherwise the precision requested from the engine, `auto` or a number format."""
    classes: tuple[str, ...]

    def computed_in(self, engine_precision: str) -> str:
        """The number format of inference: the model's if it is quantized, otherwise the engine's."""
        return self.precision if self.precision == "int8" else engine_precision
