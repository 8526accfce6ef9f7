"""Sections `[webhooks.NAME]`: receivers of events over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM

EventType = Annotated[Literal["start", "update", "end"], Meta(extra={FORM: "start, update or end"})]


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver, `[webhooks.NAME]`: each event is posted to it as JSON."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(|https?://[^\s/]+(/\S*)?)$",
            max_length=2000,
            extra={FORM: "an address that starts with http:// or https://"},
            description="Address that events are posted to. Empty: none.",
        ),
    ] = ""
    secret: Annotated[
        str,
        Meta(
            description="Key of the signature (HMAC-SHA256, the scheme of standardwebhooks.com), which proves to the "
            "receiver that an event is from this device. Empty: no signature.",
        ),
    ] = ""
    ca_file: Annotated[
        str, Meta(description="Certificates to trust, as a PEM file. Empty: those that the system trusts.")
    ] = ""
    types: Annotated[
        tuple[EventType, ...], Meta(max_length=3, description="Types of events to send: start, update, end.")
    ] = ("start", "end")
    cameras: Annotated[
        tuple[str, ...], Meta(max_length=1000, description="Cameras whose events are sent. Empty: all.")
    ] = ()
    classes: Annotated[
        tuple[str, ...], Meta(max_length=1000, description="Classes whose events are sent. Empty: all.")
    ] = ()
    timeout_s: Annotated[
        float, Meta(ge=1, le=60, description="Time limit for the receiver's answer, s. A fast one answers within 1.")
    ] = 10.0
    give_up_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Stop repeating an event that the receiver did not accept after this time, s. An hour covers a "
            "restart of its machine.",
        ),
    ] = 3600.0
    queue: Annotated[
        int,
        Meta(
            ge=10,
            le=100_000,
            description="Number of events to keep while the receiver is away, about 1 kB each. The newest are kept.",
        ),
    ] = 1000
