"""The types of the payloads of docs/wire.md.

The functions that build payloads return them, and the OpenAPI and AsyncAPI documents are generated from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

Confidence = Annotated[float, Meta(ge=0, le=1)]
Repeated = Annotated[
    bool | Literal["exact", "unchanged"],
    Meta(description='false; "exact": the same bytes as before; "unchanged": the same scene'),
]
SkipReasonText = Literal["rate_limited", "superseded", "expired", "overloaded"]
BoxPx = Annotated[
    dict[str, float],
    Meta(description="x1, y1, x2, y2 in pixels of the frame as sent; an oriented box has x1, y1 … x4, y4"),
]


class SizePayload(TypedDict):
    width: int
    height: int


class ColumnsPayload(TypedDict):
    """Points, by coordinate, in pixels of the frame as sent."""

    x: list[float]
    y: list[float]


class KeypointsPayload(ColumnsPayload):
    """The points of a pose."""

    visible: list[Confidence]


_Detection = TypedDict(
    "_Detection",
    {
        "name": str,
        "class": Annotated[int, Meta(description="Number of the class")],
        "confidence": Confidence,
        "box": BoxPx,
    },
)


class DetectionPayload(_Detection, total=False):
    """One detected object, in the shape of Ultralytics' `Results.summary()`."""

    segments: ColumnsPayload
    keypoints: KeypointsPayload
    zones: Annotated[list[str], Meta(description="The zones that it stands in, if the camera has zones")]
    age: Annotated[float, Meta(description="Seconds since it was found, if not in this frame")]
    track_id: Annotated[int, Meta(description="Which object it is, where tracks are on")]
    stationary: Annotated[bool, Meta(description="Whether it has not moved for 5 s, where tracks are on")]
    first_seen: Annotated[float, Meta(description="Seconds since 1970, where tracks are on")]


class TimingPayload(TypedDict):
    """Times of a frame in milliseconds; `total_ms` is from its arrival to its result."""

    wait_ms: float
    decode_ms: float
    infer_ms: float
    total_ms: float


class _Results(TypedDict):
    detections: Annotated[list[DetectionPayload], Meta(description="Highest confidence first")]
    processing_time: Annotated[float, Meta(description="s")]
    frame_id: str | int | float
    camera: str
    captured_at: Annotated[float | None, Meta(description="As sent, seconds since 1970")]
    cached: Repeated
    model: str
    image_size: SizePayload
    input_size: SizePayload
    timing: TimingPayload


class ResultsPayload(_Results, total=False):
    """The result of a frame, as the event `detection_results`."""

    regions: Annotated[
        list[BoxPx], Meta(description="The parts of the picture that inference ran on, if not on the whole, once")
    ]
    predicted: Annotated[
        bool, Meta(description="True: the frame was skipped, and this is predicted; only with `predict` true in auth")
    ]
    reason: Annotated[SkipReasonText, Meta(description="Of a predicted answer: why the frame was skipped")]
    retry_after: Annotated[float, Meta(description="Of a predicted answer, s")]


class DetectionErrorPayload(TypedDict):
    """The event `detection_error`."""

    error: str
    code: str
    frame_id: str | int | float | None


class SkippedPayload(TypedDict):
    """The event `frame_skipped`."""

    frame_id: str | int | float | None
    reason: SkipReasonText
    retry_after: Annotated[float, Meta(description="s")]


class LimitsPayload(TypedDict):
    """What a camera is asked to observe, as the event `limits`."""

    min_interval: Annotated[float, Meta(description="Seconds between two frames")]
    max_side: Annotated[int, Meta(description="Longest useful side of its pictures, px")]
    jpeg_quality: int
    reason: str


class _Receipt(TypedDict):
    status: Literal["queued", "cached", "skipped", "error"]
    limits: LimitsPayload


class ReceiptPayload(_Receipt, total=False):
    """The acknowledgement of `process_frame`."""

    reason: str
    retry_after: float


class ErrorPayload(TypedDict):
    """An error over HTTP. `code` is stable, `error` is for people."""

    error: str
    code: str


class PicturePayload(TypedDict):
    """The event `picture`: a picture that was not processed."""

    camera: str
    frame_id: str | int | float
    captured_at: float | None
    image_size: SizePayload
    reason: Annotated[str, Meta(description="Of the limits that forbid it")]


class _Connected(TypedDict):
    status: Literal["connected"]
    compression: bool
    camera: Annotated[str, Meta(description="The name of this connection")]
    limits: LimitsPayload
    model: str | None
    version: str


class ConnectedPayload(_Connected, total=False):
    """The event `connected`."""

    classes: Annotated[list[str] | None, Meta(description="Of the model; with `classes` true in auth")]


class _SubscribeReceipt(TypedDict):
    status: Literal["subscribed", "unsubscribed", "error"]


class SubscribeReceiptPayload(_SubscribeReceipt, total=False):
    """The acknowledgement of `subscribe` and `unsubscribe`."""

    cameras: list[str]
    resumed: Annotated[bool, Meta(description="Whether the events continue after the given cursor")]
    reason: str


class CameraHistoryPayload(TypedDict):
    """The last hour of one camera, as columns."""

    schema: int
    span: Literal["hour"]
    start: Annotated[int, Meta(description="Seconds since 1970")]
    step_s: int
    columns: dict[str, list[float | None]]


class LivePayload(TypedDict):
    live: bool


class _Ready(TypedDict):
    ready: bool


class ReadyPayload(_Ready, total=False):
    """Whether the self-test has passed."""

    canary: Annotated[str, Meta(description="The result of the last self-test")]


class AuditPayload(TypedDict):
    """The last entries of the audit log."""

    entries: list[dict[str, Any]]


class SessionPayload(TypedDict):
    """Who the caller is, and what it may do."""

    name: str
    role: str | None
    may: list[str]


class SignedOutPayload(TypedDict):
    status: Literal["signed_out"]


class _Frame(TypedDict):
    image: Annotated[str, Meta(description="JPEG, PNG or WebP: binary, base64 text or a data URL")]


class FrameObject(_Frame, total=False):
    """A frame with options."""

    frame_id: Annotated[str | int | float, Meta(description="Returned unchanged")]
    captured_at: Annotated[float, Meta(description="Seconds since 1970; returned unchanged")]
    min_confidence: Confidence
    classes: Annotated[list[str] | str, Meta(description="The classes to report; default all")]


FramePayload = str | FrameObject


class _Subscribe(TypedDict):
    cameras: Annotated[list[str] | Literal["*"], Meta(description='Names, or "*" for all')]


class SubscribePayload(_Subscribe, total=False):
    """Which cameras to hear of."""

    after: Annotated[str, Meta(description="The cursor of the last event, to continue after it")]
    site: Annotated[bool, Meta(description="False: only cameras of this device, not of the site's others")]
