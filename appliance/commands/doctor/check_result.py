"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found, and how to fix a failure."""

    name: str
    ok: bool | None
    """None: unknown, because this machine does not say or the check was not possible."""
    text: str
    fix: str = ""
