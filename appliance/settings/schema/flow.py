"""Section `[flow]`: admission and scheduling of frames."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class FlowSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frame admission and scheduling."""

    max_side: Annotated[
        int,
        Meta(ge=64, le=2048, description="Longest side of the model input, px. YOLO nano models are trained at 640."),
    ] = 640
    min_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Minimum interval between frames of one camera, s. 0: a fair share of the device's capacity.",
        ),
    ] = 0.0
    burst: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Number of consecutive early frames to accept before one is skipped; absorbs network jitter.",
        ),
    ] = 3
    max_age_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=600,
            description="Drop a frame as expired after waiting this long, s. An older result is no longer useful.",
        ),
    ] = 2.0
    max_waiting: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of cameras with a waiting frame. Another one gets the answer `overloaded`.",
        ),
    ] = 256
    max_waiting_bytes: Annotated[
        int, Meta(ge=1_000_000, le=16_000_000_000, description="Memory limit for all waiting frames, bytes.")
    ] = 64_000_000
    max_pixels: Annotated[
        int,
        Meta(
            ge=10_000,
            le=1_000_000_000,
            description="Maximum image size, width x height, px. 40 million is enough for 8K.",
        ),
    ] = 40_000_000
    decoder: Annotated[
        Literal["thread", "process"],
        Meta(
            description="Where images are decoded. process: in processes without access to files, network or programs, "
            "so that a flaw in an image decoder gains an attacker nothing. thread: in the service itself."
        ),
    ] = "process"
    aiming_interval_s: Annotated[
        float,
        Meta(
            ge=1,
            le=60,
            description="While the device is too hot, ask each camera for a picture this often, s. It goes to the page "
            "without inference, so that a camera can be aimed. At 5 s this warms nothing.",
        ),
    ] = 5.0
    deadline_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="Treat the engine as hung, and restart, when one frame takes longer than this, s.",
        ),
    ] = 20.0
    slow_frame_s: Annotated[
        float,
        Meta(ge=0.001, le=600, description="Log a warning with timings for a frame that takes longer than this, s."),
    ] = 2.0
    scene_gate: Annotated[
        bool, Meta(description="Repeat the last result, without inference, while the scene is unchanged.")
    ] = False
    refresh_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="With scene_gate: maximum time between inferences of an unchanged scene, s. An object that the "
            "gate overlooks is found after this time. 20: 95 % of the frames are held at one frame a second.",
        ),
    ] = 20.0
    gate_audits: Annotated[
        float,
        Meta(
            ge=0.001,
            le=0.5,
            description="With scene_gate: part of the held frames that is inferred anyway, 0-1, to measure what the "
            "gate misses and to adjust it. 0.01 costs 1 % and finds a camera's limit within hours.",
        ),
    ] = 0.01
    crops: Annotated[
        Literal["off", "auto"],
        Meta(
            description="Inference on parts of the picture at the camera's own detail, where its scene moves. auto: "
            "for each camera, while measurements on it show that crops find more objects than they miss. It needs "
            "about 50 MB more memory, and baseline JPEGs larger than max_side. off: every frame runs as a whole."
        ),
    ] = "off"
    tracks: Annotated[
        bool,
        Meta(description="Follow objects from frame to frame: each detection says which object it is, and since when."),
    ] = False
    track_memory_s: Annotated[
        float,
        Meta(
            ge=0.5,
            le=600,
            description="With tracks: an object that is not found for this long is forgotten, s. "
            "5 bridges a person who walks behind a car, as events.off_delay_s does.",
        ),
    ] = 5.0
    jpeg_quality: Annotated[
        int,
        Meta(
            ge=30,
            le=95,
            description="JPEG quality requested from cameras. 80 loses no detections; 95 doubles the size.",
        ),
    ] = 80
