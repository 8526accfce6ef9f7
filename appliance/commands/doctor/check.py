"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold; `do` is what mends it."""

    name: str
    ok: bool
    text: str
    do: str = ""
