"""Section `[state]`: what survives a restart."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class StateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Persistent state."""

    dir: Annotated[
        str,
        Meta(description="State folder. Empty: $STATE_DIRECTORY from systemd, else ~/.local/state/appliance."),
    ] = ""
    history: Annotated[
        bool, Meta(description="Save the history of the last 24 hours once a minute, so that it survives a restart.")
    ] = True
    forget_cameras_s: Annotated[
        float,
        Meta(
            ge=3600,
            le=315_360_000,
            description="Forget a camera that has sent nothing for this long, s. 30 days outlast a repair.",
        ),
    ] = 2_592_000.0
