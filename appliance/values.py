"""The nouns of the appliance. Each is frozen, has its units in its names, and knows nothing of any other room."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

FrameId: TypeAlias = str | int | float
"""As the sender chose it; a float is finite."""
BIG_BYTES = 128_000
"""Whoever does something with each byte of a frame larger than this leaves the event loop for it."""
LARGE_BYTES = 24_000_000
"""A picture that holds more than this while it is decoded is large: such are decoded one at a time, see
`vision/admission.py`. No JPEG of a camera is; a PNG or WebP of 2560x1440 is not, one of 4K is.
"""
Cached: TypeAlias = Literal[False, "exact", "unchanged"]


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's or a tensor's extent in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by two corners, x to the right, y down; which pixels it counts is said by the name that holds it
    (`box_px`: the camera's own, `box_in`: the model's input)."""

    x1: float
    y1: float
    x2: float
    y2: float


Point: TypeAlias = tuple[float, float]
"""x to the right, y down; in which pixels is said by the name that holds it."""


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A point of a pose."""

    x: float
    y: float
    seen: float
    """How sure the network is that it is visible, 0-1."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found: `confidence` 0-1, all places in the pixels of the frame as it was sent."""

    name: str
    class_id: int
    confidence: float
    box_px: Box
    outline_px: tuple[Point, ...] | None = None
    """Around the largest piece of its mask, from a network that segments."""
    keypoints_px: tuple[Keypoint, ...] | None = None
    """From a network of poses, in the order that it was trained with."""
    corners_px: tuple[Point, ...] | None = None
    """The four of a box that is turned, in turn around it; `box_px` is the upright one about it."""


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """The detections a sender asks for: minimum confidence (0-1) and class names (None: all)."""

    min_confidence: float
    classes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture whose header has been read: `size` as it is meant to be seen, orientation applied."""

    data: bytes
    format: Literal["jpeg", "png", "webp"]
    size: Size
    orientation: int = 1
    """EXIF orientation, 1-8."""
    plain_jpeg: bool = False
    """A grey or YCbCr JPEG, which can be decoded scaled."""
    held_bytes: int = 0
    """Memory that decoding takes at whatever scale: the pixels of a PNG or WebP, the coefficients of a progressive
    JPEG."""

    @property
    def large(self) -> bool:
        """Whether it is decoded alone."""
        return self.held_bytes > LARGE_BYTES


def is_own_camera(name: str) -> bool:
    """Whether this is one of the service's own cameras (the self-test, a model's trial): they take no share of the
    engine and appear in no report. Clients' names never begin with `_`.
    """
    return name.startswith("_")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture on its way through the appliance."""

    camera: str
    sender: str
    """Whom to answer; only `web/` knows what it means."""
    frame_id: FrameId
    picture: Picture
    wanted: ResultFilter
    received_s: float
    """Monotonic."""
    captured_at: float | None = None
    """The camera's own clock, seconds since 1970, as it was sent."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a frame's time went, in milliseconds; `total_ms` is from its arrival to its answer."""

    wait_ms: float
    decode_ms: float
    infer_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Detected:
    """The answer: what is in the frame."""

    detections: tuple[Detection, ...]
    image_size: Size
    input_size: Size
    model: str
    timing: Timing
    cached: Cached = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The frame could not be used, or the box could not use it."""

    code: str
    message: str


class SkipReason(str, Enum):
    """Why a good frame was not looked at."""

    RATE_LIMITED = "rate_limited"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    OVERLOADED = "overloaded"


@dataclass(frozen=True, slots=True)
class Skipped:
    """The frame was dropped on purpose; `retry_after_s` says when the next one has a chance."""

    reason: SkipReason
    retry_after_s: float


Outcome: TypeAlias = Detected | Failed | Skipped


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of a frame as soon as it has been offered; the outcome is published apart from it."""

    status: Literal["queued", "cached", "skipped", "error"]
    reason: str | None = None
    retry_after_s: float | None = None

    @staticmethod
    def of(refusal: Failed | Skipped) -> Receipt:
        """Of a frame that was not let in."""
        if isinstance(refusal, Failed):
            return Receipt("error", refusal.code)
        return Receipt("skipped", refusal.reason.value, refusal.retry_after_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the whole box may do now; the governor's word."""

    max_side: int
    """Longest side of the model's input, px."""
    min_interval_s: float
    """Between two frames of one camera; 0: as fast as its fair share."""
    max_in_flight: int
    admit: bool = True
    """False: refuse frames, stay reachable."""
    next_side: int = 0
    """The longest side that may come after this one, to be made ready; 0: none."""
    duty: float = 1.0
    """Part of the engine's time that may be given away, 0-1: what is left undone is heat that is not made."""
    lowest_priority: int = 0
    """Cameras below this priority are refused while one at or above it is sending."""
    new_cameras: bool = True
    """False: no camera is let in that has not been answered yet."""
    cache_part: float = 1.0
    """Part of its bounds that the cache may fill, 0-1."""
    most_sizes: int | None = None
    """Input sizes kept compiled; None: as configured."""
    reason: str = "normal"


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """What one camera is asked to keep to."""

    min_interval_s: float
    max_side: int
    """Longest side of the pictures it should send, px: more is scaled away."""
    jpeg_quality: int
    reason: str


@dataclass(frozen=True, slots=True)
class CameraStats:
    """One camera's counters since start, and its rates over the last seconds."""

    received: int
    answered: int
    cached: int
    failed: int
    skipped: dict[str, int]
    received_fps: float
    answered_fps: float
    latency_ms: float | None
    """Arrival to answer, moving average."""
    limits: CameraLimits


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the outside is told about the loaded model and the engine under it."""

    name: str
    engine: str
    device: str
    precision: str
    """`int8` for a quantised model; otherwise what the engine was asked for, `auto` or a number format."""
    classes: tuple[str, ...]

    def computed_in(self, engine_precision: str) -> str:
        """The number format of its inference: of the model if it was quantised, otherwise what the engine chose."""
        return self.precision if self.precision == "int8" else engine_precision


class Severity(str, Enum):
    """How bad a finding is; the worst one is the state of the box."""

    INFO = "info"
    DEGRADED = "degraded"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in words for a person who stands before the box."""

    code: str
    severity: Severity
    what: str
    do: str
    since_s: float
    """Monotonic."""


@dataclass(frozen=True, slots=True)
class CanaryState:
    """The last proof that the box sees: a known picture went through the real path."""

    proved: bool = False
    message: str = "not tried yet"
    at_s: float | None = None
    """Monotonic time of the last try."""
    infer_ms: float | None = None
    failures: int = field(default=0)
    """In a row."""
