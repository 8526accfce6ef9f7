"""An event of one object, and its payload for Socket.IO, MQTT and webhooks (docs/wire.md)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, TypedDict

from msgspec import Meta

from appliance.values import Box, Size

EventKind: TypeAlias = Literal["start", "update", "end"]
EndReason: TypeAlias = Literal["left", "camera_silent", "events_off", "device_stopped"]


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """The start, an update or the end of one object's presence in front of a camera."""

    kind: EventKind
    object_id: str
    """The same in all events of an object, and never used again, not even after a restart."""
    number: int
    """Counts the events of this process."""
    run: str
    """Names this process, so that a number of an earlier one is recognised."""
    camera: str
    name: str
    """The class."""
    class_id: int
    confidence: float
    """The median over the object's life so far, 0-1."""
    top_confidence: float
    box_px: Box
    """Where it was seen last."""
    image_size: Size
    zones: tuple[str, ...]
    """Where it is now."""
    entered: tuple[str, ...]
    """Zones entered since the previous event of this object."""
    left: tuple[str, ...]
    dwell_s: tuple[tuple[str, float], ...]
    """Time in each zone so far, s."""
    began: float
    """When it was first seen, seconds since 1970."""
    at: float
    """When it was last seen, seconds since 1970."""
    duration_s: float
    """From first to last sight; measured without the clock on the wall."""
    picture: bool = False
    """Whether its best picture is kept."""
    reason: EndReason | None = None
    """Why it ended."""
    track_id: int | None = None
    """Its track; None: tracks are off."""

    @property
    def cursor(self) -> str:
        """The place of this event in the order of all: a subscriber continues after it."""
        return f"{self.run}-{self.number}"


_Event = TypedDict(
    "_Event",
    {
        "type": EventKind,
        "id": Annotated[str, Meta(description="The same in all events of an object, and never used again")],
        "camera": str,
        "name": Annotated[str, Meta(description="The object's class")],
        "class": Annotated[int, Meta(description="Number of the class")],
        "confidence": Annotated[float, Meta(ge=0, le=1, description="Median over its life")],
        "top_confidence": Annotated[float, Meta(ge=0, le=1)],
        "box": Annotated[dict[str, float], Meta(description="x1, y1, x2, y2: where it was seen last, px")],
        "image_size": dict[str, int],
        "zones": Annotated[list[str], Meta(description="Where it is now")],
        "entered": Annotated[list[str], Meta(description="Zones entered since its previous event")],
        "left": list[str],
        "dwell": Annotated[dict[str, float], Meta(description="Seconds in each zone so far")],
        "start_time": Annotated[str, Meta(description="ISO 8601")],
        "time": Annotated[str, Meta(description="When it was seen last, ISO 8601")],
        "duration": Annotated[float, Meta(description="s")],
        "picture": Annotated[str | None, Meta(description="Path of its best picture")],
        "cursor": Annotated[str, Meta(description="The place of this event in the order of all")],
    },
)


class EventPayload(_Event, total=False):
    """An object appeared, moved between zones, or is gone."""

    reason: EndReason
    track_id: Annotated[int, Meta(description="The track of its detections, where tracks are on")]


def payload_of(event: ObjectEvent) -> EventPayload:
    """The event as it is sent."""
    box, size = event.box_px, event.image_size
    payload: EventPayload = {
        "type": event.kind,
        "id": event.object_id,
        "camera": event.camera,
        "name": event.name,
        "class": event.class_id,
        "confidence": round(event.confidence, 3),
        "top_confidence": round(event.top_confidence, 3),
        "box": {key: round(getattr(box, key), 2) for key in ("x1", "y1", "x2", "y2")},
        "image_size": {"width": size.width, "height": size.height},
        "zones": list(event.zones),
        "entered": list(event.entered),
        "left": list(event.left),
        "dwell": {zone: round(seconds, 1) for zone, seconds in event.dwell_s},
        "start_time": _date(event.began),
        "time": _date(event.at),
        "duration": round(event.duration_s, 1),
        "picture": f"/events/{event.object_id}/picture.jpg" if event.picture else None,
        "cursor": event.cursor,
    }
    if event.reason is not None:
        payload["reason"] = event.reason
    if event.track_id is not None:
        payload["track_id"] = event.track_id
    return payload


def _date(wall_s: float) -> str:
    """Seconds since 1970 as ISO 8601, UTC."""
    return datetime.datetime.fromtimestamp(wall_s, datetime.timezone.utc).isoformat(timespec="milliseconds")
