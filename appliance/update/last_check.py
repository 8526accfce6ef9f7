"""What the last check or attempt found, for the service, the command line and the next check."""

from __future__ import annotations

from pathlib import Path

import msgspec

from appliance import files
from appliance.update.offer import Offer

_MOST_BYTES = 50_000


class LastCheck(msgspec.Struct, frozen=True, kw_only=True):
    """`checked_s`: when, since 1970. `problem`: why nothing could be found out. `staged`: the release that is here."""

    checked_s: float = 0.0
    offer: Offer | None = None
    """The newest release that was ever seen."""
    for_this_device: bool = False
    """It may be installed here now: newer than what is in use, and in this device's share."""
    staged: str = ""
    problem: str = ""
    code: str = ""


def read(path: Path) -> LastCheck:
    """What is known; nothing, if it cannot be read."""
    try:
        return msgspec.json.decode(files.read_plain(path, _MOST_BYTES), type=LastCheck)
    except (OSError, msgspec.MsgspecError):
        return LastCheck()


def write(path: Path, known: LastCheck) -> None:
    """Raises OSError."""
    files.write(path, msgspec.json.encode(known), 0o644)
