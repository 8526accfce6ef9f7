"""Requests and responses of the page's actions that the control socket does not have, in JSON."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class UseModelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The page's request to use another model."""

    name: str


class ModelChange(Struct, frozen=True):
    """The response to the page's activation or return. `kept`: also after a restart."""

    model: str
    former: str | None
    infer_ms: float
    kept: bool


class SelfTestResult(Struct, frozen=True):
    """The result of a self-test."""

    proved: bool
    message: str
    infer_ms: float | None


class BenchmarkRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How long to run at full load, s."""

    for_s: float


class BenchmarkResult(Struct, frozen=True):
    """What the device did at full load. Temperatures of the chip; null: unknown."""

    frames: int
    fps: float
    infer_ms: float
    start_temp_c: float | None
    end_temp_c: float | None


class ServiceDone(Struct, frozen=True):
    """The response to a reload or a restart. `restarts`: the service starts again now."""

    restarts: bool


class MqttTested(Struct, frozen=True):
    """The response to `test_mqtt`. `problem`: why nothing could be published; null: the broker has confirmed it.

    `reason`: the same as a code. `detail`: what the system or the broker says about it.
    """

    broker: str
    problem: str | None
    reason: str | None = None
    detail: str = ""


class SettingsChecked(Struct, frozen=True):
    """The response to a check of the settings. `problem`: what is wrong with them; None: they are valid."""

    problem: str | None


AreaOutline = Annotated[
    tuple[tuple[Annotated[float, Meta(ge=0, le=1)], Annotated[float, Meta(ge=0, le=1)]], ...],
    Meta(min_length=3, max_length=64),
]
"""Corners [x, y] of a polygon, in parts of the picture's width and height."""
AreaName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class DrawnZone(Struct, frozen=True, forbid_unknown_fields=True):
    """A zone that was drawn on the page. `classes`: empty for all."""

    points: AreaOutline
    classes: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()


class CameraAreas(Struct, frozen=True, forbid_unknown_fields=True):
    """The zones and masks of a camera that were drawn on the page, by name: all of them, in place of earlier ones."""

    name: str
    zones: Annotated[dict[AreaName, DrawnZone], Meta(max_length=16)] = {}
    masks: Annotated[dict[AreaName, AreaOutline], Meta(max_length=16)] = {}
