"""Section `[update]`: signed updates of this device."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM


class UpdateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Updates. Whatever their source, they are verified with the keys that /etc/appliance-update/root.json names."""

    source: Annotated[
        str,
        Meta(
            max_length=2000,
            pattern=r"^(|https://[^\s]+|/[^\0]*)$",
            extra={FORM: "an https:// address, a folder, or empty"},
            description="Where releases are looked for: an https:// address or a folder, for example on a USB stick. "
            "Empty: nowhere; `appliance update install FILE` still works.",
        ),
    ] = ""
    proxy: Annotated[
        str,
        Meta(
            max_length=500,
            pattern=r"^(|http://[^\s/\"\\]+/?)$",
            extra={FORM: "http://HOST:PORT, http://USER:PASSWORD@HOST:PORT or empty"},
            description="HTTP proxy through which `source` is reached. Empty: that of the variable https_proxy, or "
            "none. The installer writes the one that it was run with.",
        ),
    ] = ""
    channel: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9-]{1,40}$",
            extra={FORM: "at most 40 lower-case letters, digits and -"},
            description="Which releases of the repository: what the operator has named so, usually stable.",
        ),
    ] = "stable"
    automatic: Annotated[
        bool,
        Meta(
            description="Install new releases without being asked, during `window`. Off: a person decides; a finding "
            "says that one is available."
        ),
    ] = False
    window: Annotated[
        str,
        Meta(
            pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
            extra={FORM: "two times of day as HH:MM-HH:MM"},
            description="When automatic updates may begin, local time; 00:00-00:00: at any time. At night fewer people "
            "miss a few seconds.",
        ),
    ] = "02:00-04:00"
    postpone_days: Annotated[
        int,
        Meta(
            ge=0,
            le=90,
            description="Install automatically only this many days after a release was signed, so that others meet its "
            "faults first. 0: at once.",
        ),
    ] = 0
    commit_after_s: Annotated[
        float,
        Meta(
            ge=30,
            le=86_400,
            description="How long a new release must be well before the older one is given up, s. Ten "
            "minutes include many frames of each camera, and warm the chip up.",
        ),
    ] = 600.0
