"""Sections `[cameras.NAME]`: one camera each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM

_MOST_AREAS = 16
"""Zones or masks of one camera: enough for any yard, and cheap for each frame."""

Part = Annotated[float, Meta(ge=0, le=1)]
Outline = Annotated[
    tuple[Annotated[tuple[Part, Part], Meta(extra={FORM: "a point [x, y] with x and y from 0 to 1"})], ...],
    Meta(
        min_length=3,
        max_length=64,
        description="Corners [x, y] of the polygon, in parts of the picture's width and height: [0, 0] is the top "
        "left corner, [1, 1] the bottom right one.",
    ),
]
_LEAST_AREA = 1e-5
"""Of the picture: three pixels of 640x480. A smaller zone or mask is a mistake."""


def encloses_area(points: Outline) -> bool:
    """Whether the corners of a polygon are not all on one line."""
    following = (*points[1:], *points[:1])
    twice = abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, following, strict=True)))
    return twice / 2 >= _LEAST_AREA


class ZoneSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named area, `[cameras.NAME.zones.ZONE]`. Detections and events name the zones that an object stands in."""

    points: Outline = ()
    classes: Annotated[
        tuple[str, ...], Meta(max_length=1000, description="Classes that this zone is for. Empty: all.")
    ] = ()


class MaskSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ignored area, `[cameras.NAME.masks.MASK]`: what stands here is not reported, movement here is no change."""

    points: Outline = ()


class FilterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to report of a class, `[cameras.NAME.filters.CLASS]`; CLASS `"*"`: of classes without their own filter."""

    min_confidence: Annotated[
        float,
        Meta(ge=0, le=1, description="Minimum confidence, 0-1. Works above model.min_confidence only."),
    ] = 0.0
    min_width_px: Annotated[
        float, Meta(ge=0, le=100_000, description="Minimum width of the bounding box, px of the camera's picture.")
    ] = 0.0
    min_height_px: Annotated[
        float, Meta(ge=0, le=100_000, description="Minimum height of the bounding box, px of the camera's picture.")
    ] = 0.0
    min_share: Annotated[
        float, Meta(ge=0, le=1, description="Minimum area of the bounding box, as a part of the picture, 0-1.")
    ] = 0.0
    max_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Maximum area of the bounding box, as a part of the picture, 0-1. "
            "0.5 rejects an insect on the lens.",
        ),
    ] = 1.0


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
    picture_health: Annotated[
        bool,
        Meta(
            description="Report a camera that is covered, turned, out of focus, too dark, overexposed, frozen or torn. "
            "Off: for a camera that is moved or covered on purpose."
        ),
    ] = True
    classes: Annotated[
        tuple[str, ...], Meta(max_length=1000, description="Classes to report from this camera. Empty: all.")
    ] = ()
    filters: Annotated[
        dict[str, FilterSettings],
        Meta(max_length=1000, description="Filters by class, `[cameras.NAME.filters.CLASS]`."),
    ] = {}
    zones: Annotated[
        dict[str, ZoneSettings],
        Meta(max_length=_MOST_AREAS, description="Named areas by name, `[cameras.NAME.zones.ZONE]`."),
    ] = {}
    masks: Annotated[
        dict[str, MaskSettings],
        Meta(max_length=_MOST_AREAS, description="Ignored areas by name, `[cameras.NAME.masks.MASK]`."),
    ] = {}
