"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether one check passed, what it found, and how to fix a failure."""

    name: str
    ok: bool
    text: str
    fix: str = ""
