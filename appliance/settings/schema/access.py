"""Section `[access]`: who may do what."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class AccessSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may do what. `appliance token` makes the tokens."""

    auth: Annotated[
        Literal["on", "off"],
        Meta(
            description="on: other machines need a token. off: anyone on the network may see pictures and push frames; "
            "only operating the device needs a token. The finding `auth_off` then stays."
        ),
    ] = "on"
    loopback: Annotated[
        Literal["operator", "nobody"],
        Meta(
            description="Programs on this device without a token: operator, or nobody, for a device on which others "
            "have accounts, or a proxy that hides that it is one."
        ),
    ] = "operator"
    health: Annotated[
        Literal["state", "full", "none"],
        Meta(
            description="What strangers see under /health. state: status and time. full: all, including names and the "
            "serial number. none: a token is required. /health/live always answers."
        ),
    ] = "state"
    metrics: Annotated[
        Literal["token", "anyone"],
        Meta(description="Who may read /metrics. token: a token, or a program on this device. anyone: all."),
    ] = "token"
    name_taken: Annotated[
        Literal["replace", "refuse", "share"],
        Meta(
            description="A camera connects under a name that is in use. replace: the new connection ends the old one, "
            "so a camera that lost its network is back at once. refuse: the old one stays. share: both stay."
        ),
    ] = "replace"
    pairing: Annotated[
        bool,
        Meta(description="Cameras without a token may ask for approval by an operator. Off: they are refused."),
    ] = True
