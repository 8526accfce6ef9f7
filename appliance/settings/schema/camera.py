"""Sections `[cameras.NAME]`: one camera each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class CameraSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera, `[cameras.NAME]`."""

    token: Annotated[str, Meta(description="Token that the camera must send to use this name. Empty: none.")] = ""
    weight: Annotated[
        float,
        Meta(
            gt=0,
            le=100,
            description="Relative share of inference time. A camera with 2 gets twice as much as one with 1.",
        ),
    ] = 1.0
    priority: Annotated[
        int,
        Meta(
            ge=0,
            le=9,
            description="Frames of a camera with a higher priority always go first. Equal priorities share by weight.",
        ),
    ] = 0
    min_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Minimum interval between frames of this camera, s, if longer than flow.min_interval_s.",
        ),
    ] = 0.0
