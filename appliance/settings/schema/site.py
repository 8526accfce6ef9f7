"""Section `[site]`: one device of several behind a front."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A site of several devices behind HAProxy; see docs/site.md."""

    agent_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="TCP port on which HAProxy asks how much of its work this device can take. "
            "0: this device does not stand behind a front, and cameras are never moved. Also requires "
            "server.trusted_proxies.",
        ),
    ] = 0
    settle_s: Annotated[
        float,
        Meta(
            ge=60,
            le=86_400,
            description="Time that a camera stays before heat or balance may move it again, s. "
            "900 is at most four moves an hour.",
        ),
    ] = 900.0
