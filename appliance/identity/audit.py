"""The audit log: who did what on this device, in the journal and as the most recent entries in memory."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from appliance.identity.roles import Identity

log = logging.getLogger(__name__)

KEPT = 200
"""Entries in memory, about 60 kB. The journal keeps more."""

AuditValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action."""

    wall_s: float
    who: str
    """Name and role, such as `anna (operator)`."""
    address: str
    """Where it came from; empty: this device."""
    action: str
    """A stable name, such as `token_add` or `model_activate`."""
    ok: bool = True
    fields: Mapping[str, AuditValue] = field(default_factory=dict)
    """What it was done with, such as the model's name. Never a secret."""


class Audit:
    """Records actions. Each is one line of the log, which is never suppressed below twenty a minute."""

    def __init__(self, wall_clock: Callable[[], float] = time.time, kept: int = KEPT) -> None:
        self._wall_clock = wall_clock
        self._entries: deque[AuditEntry] = deque(maxlen=kept)

    def record(self, who: Identity, action: str, ok: bool = True, **fields: AuditValue) -> AuditEntry:
        """Record an action of this caller. `ok`: False if it was refused or failed."""
        entry = AuditEntry(self._wall_clock(), str(who), who.address, action, ok, fields)
        self._entries.append(entry)
        details = "".join(f" {name}={value}" for name, value in fields.items())
        log.warning(
            "audit: action=%s who=%s address=%s ok=%s%s", action, entry.who, entry.address or "-", ok, details,
            extra={"action": action, "who": entry.who, "address": entry.address, "ok": ok},
        )  # fmt: skip
        return entry

    def latest(self, most: int = KEPT) -> tuple[AuditEntry, ...]:
        """The most recent entries, the newest first."""
        return tuple(reversed(self._entries))[:most]
