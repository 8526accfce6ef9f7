"""What the update guard knows: which release is kept, which is on trial, which was undone and why.

The guard is a shell program outside any release (systemd/libexec/update-guard); it alone writes this state.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance import files

_MOST_BYTES = 20_000
BY_A_PERSON = "a person wanted it"
"""The reason for going back with `appliance update rollback`."""
_BY_HAND = "somebody asked for it"
"""The guard's own, where it was run by hand."""


@dataclass(frozen=True, slots=True)
class GuardState:
    """The guard's state. Absent names are empty."""

    phase: str = "idle"
    committed: str = ""
    previous: str = ""
    trying: str = ""
    floor: int = 0
    """The highest number of a release that was kept: lower ones are refused."""
    undone: str = ""
    why: str = ""

    @property
    def on_trial(self) -> bool:
        return self.phase == "trying"

    @property
    def undone_by_a_person(self) -> bool:
        return self.undone != "" and self.why in (BY_A_PERSON, _BY_HAND)


def read(path: Path) -> GuardState:
    """The state, as far as it can be read."""
    try:
        text = files.read_plain(path, _MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return GuardState()
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    floor = found.get("floor", "0")
    return GuardState(
        phase=found.get("phase", "idle"),
        committed=found.get("committed", ""),
        previous=found.get("previous", ""),
        trying=found.get("trying", ""),
        floor=int(floor) if floor.isascii() and floor.isdecimal() else 0,
        undone=found.get("undone", ""),
        why=found.get("why", ""),
    )
