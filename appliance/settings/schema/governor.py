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
            description="Target limit of the SoC temperature, °C, and at most 3 below the hardware's own trip point. "
            "A Raspberry Pi throttles at 80.",
        ),
    ] = 77.0
    critical_temp_c: Annotated[
        float,
        Meta(ge=40, le=120, description="Pause inference at this temperature, °C. Firmware throttles hard at 85."),
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
