"""Section `[governor]`: when to reduce the load."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class GovernorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to reduce the load; docs/governor.md explains how."""

    enabled: Annotated[
        bool, Meta(description="Reduce the load on high temperature or low memory. Off: only report.")
    ] = True
    target_temp_c: Annotated[
        float,
        Meta(
            ge=30,
            le=110,
            description="Keep the SoC below this temperature, °C. A Raspberry Pi throttles at 80. While this is the "
            "default, a board that reports a trip point is kept 2 below that instead, even if it is higher; any other "
            "value is only ever lowered to it.",
        ),
    ] = 78.0
    critical_temp_c: Annotated[
        float,
        Meta(
            ge=40,
            le=120,
            description="Pause inference at this temperature, °C. Firmware throttles hard at 85. Raised "
            "together with the default target on boards that throttle later.",
        ),
    ] = 84.0
    min_available_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=64_000_000_000,
            description="Process one frame at a time below this much available memory, bytes. "
            "Below twice this the cache is emptied.",
        ),
    ] = 100_000_000
    lowest_clock_percent: Annotated[
        int,
        Meta(
            ge=30,
            le=100,
            description="Lowest clock that the governor may set, in percent of the highest. 100: it leaves clocks "
            "alone, because not every board saves heat that way. Below, it needs appliance-clock.socket.",
        ),
    ] = 100
