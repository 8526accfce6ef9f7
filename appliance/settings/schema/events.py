"""Section `[events]`: when an object starts and ends."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class EventsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events: an object came, moved between zones, left."""

    enabled: Annotated[bool, Meta(description="Make events from detections, for subscribers, MQTT and webhooks.")] = (
        True
    )
    min_confidence: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Minimum median confidence of an object to start an event, 0-1. "
            "0.5: a class that flickers in and out at 0.3 makes no event.",
        ),
    ] = 0.5
    on_delay_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Time that an object must be visible before its event starts, s. 0.5 needs a second frame. "
            "0: the first frame starts it, for cameras that send less than a frame every few seconds.",
        ),
    ] = 0.5
    off_delay_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="An event ends when its object has not been visible for this time, s. "
            "5 bridges a person who walks behind a car.",
        ),
    ] = 5.0
    update_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Interval between updates of an event, s. 0: only when its object enters or leaves a zone.",
        ),
    ] = 10.0
