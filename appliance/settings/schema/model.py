"""Section `[model]`: which model, and where bundles are."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model, and what counts as a detection."""

    name: Annotated[str, Meta(min_length=1, description="Folder name of the model bundle in `dir`.")] = "yolo11n"
    dir: Annotated[str, Meta(description="Folder of the model bundles.")] = "models"
    min_confidence: Annotated[
        float, Meta(gt=0, lt=1, description="Minimum confidence of a detection, 0-1. A frame can override it.")
    ] = 0.25
    iou: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Boxes of one class that overlap more than this (IoU, 0-1) are merged into one detection.",
        ),
    ] = 0.7
    max_detections: Annotated[int, Meta(ge=1, le=3000, description="Maximum number of detections per frame.")] = 300
    calibration_frames: Annotated[
        int,
        Meta(
            ge=0,
            le=300,
            description="Frames of the cameras to keep for `appliance tune`, one every ten minutes, with masks painted "
            "over. 0: none, since they are pictures of the site. 200 show day and night.",
        ),
    ] = 0
    calibration_max_bytes: Annotated[
        int,
        Meta(
            ge=1_000_000,
            le=500_000_000,
            description="Maximum size of these frames together, bytes. One at 640 px takes about 80 kB.",
        ),
    ] = 50_000_000
