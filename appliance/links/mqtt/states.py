"""The states that are published, as JSON: the device's and each camera's."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, TypedDict

from msgspec import Meta

from appliance.events.feed import Occupancy
from appliance.vitals.snapshot import Snapshot, UpdateView

OFFLINE, ONLINE = "offline", "online"


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """What is published of a camera. `zones`: the classes by zone. `label`: what people call it."""

    name: str
    classes: tuple[str, ...]
    zones: tuple[tuple[str, tuple[str, ...]], ...] = ()
    picture: bool = False
    label: str = ""


class UpdateState(TypedDict):
    """The state of Home Assistant's update entity; it accepts no other keys."""

    installed_version: str
    latest_version: str
    release_summary: str
    in_progress: bool


class _DeviceState(TypedDict):
    status: Annotated[str, Meta(description="ok, degraded or critical")]
    findings: list[str]
    temperature: Annotated[float | None, Meta(description="Of the SoC, °C")]
    throttled: bool
    cooling_state: int
    memory_available: Annotated[int | None, Meta(description="bytes")]
    rate: Annotated[float, Meta(description="Frames per second of all cameras")]
    latency: Annotated[float | None, Meta(description="ms")]
    cameras: Annotated[int, Meta(description="Cameras that are sending")]
    model: str | None


class DeviceState(_DeviceState, total=False):
    """The state of the device; unknown values are null."""

    update: Annotated[UpdateState, Meta(description="Where updates can be installed")]


class CameraState(TypedDict):
    """The state of a camera."""

    last_seen: Annotated[str | None, Meta(description="ISO 8601")]
    problem: Annotated[bool, Meta(description="It is silent for longer than usual")]
    rate: float
    min_interval: Annotated[float | None, Meta(description="The limit that it was given, s")]
    classes: Annotated[dict[str, int], Meta(description="Objects that are present, by class")]
    zones: dict[str, dict[str, int]]


def device_state(snapshot: Snapshot) -> DeviceState:
    """The state of the device; unknown values are null."""
    reading, power = snapshot.reading, snapshot.reading.power
    latencies = [one.latency_ms for one in snapshot.cameras.values() if one.latency_ms is not None]
    state: DeviceState = {
        "status": snapshot.status,
        "findings": [finding.what for finding in snapshot.findings],
        "temperature": reading.thermal.soc_temp_c,
        "throttled": bool(power.throttled or power.frequency_capped or snapshot.governor.cooling > 0),
        "cooling_state": snapshot.governor.cooling,
        "memory_available": reading.memory.available_bytes,
        "rate": round(sum(one.answered_fps for one in snapshot.cameras.values()), 1),
        "latency": round(fmean(latencies), 1) if latencies else None,
        "cameras": sum(one.received_fps > 0 for one in snapshot.cameras.values()),
        "model": snapshot.engine.model.name if snapshot.engine.model else None,
    }
    if snapshot.update:
        state["update"] = update_state(snapshot.update)
    return state


def update_state(update: UpdateView) -> UpdateState:
    return {
        "installed_version": update.installed,
        "latest_version": update.latest,
        "release_summary": update.notes[:255],
        "in_progress": update.on_trial,
    }


def camera_state(plan: CameraPlan, snapshot: Snapshot, occupancy: Occupancy) -> CameraState:
    """The state of a camera. `classes` and `zones` count the objects in front of it now."""
    known, stats = snapshot.known_cameras.get(plan.name), snapshot.cameras.get(plan.name)
    last_at_s = known.last_at_s if known else None
    return {
        "last_seen": _date(last_at_s) if last_at_s is not None else None,
        "problem": known is not None and known.presence == "silent",
        "rate": stats.answered_fps if stats else 0.0,
        "min_interval": stats.limits.min_interval_s if stats else None,
        "classes": _counts(plan.classes, occupancy.classes),
        "zones": {zone: _counts(classes, occupancy.zones.get(zone, {})) for zone, classes in plan.zones},
    }


def _counts(classes: tuple[str, ...], seen: Mapping[str, int]) -> dict[str, int]:
    """The count of each planned class, and of others that are present."""
    return dict.fromkeys(classes, 0) | dict(seen)


def _date(wall_s: float) -> str:
    return datetime.datetime.fromtimestamp(wall_s, datetime.timezone.utc).isoformat(timespec="seconds")
