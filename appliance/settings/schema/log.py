"""Section `[log]`: how much is logged."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logging."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Minimum level of log messages.")
    ] = "info"
