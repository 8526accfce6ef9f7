"""Durations as text: parse and format."""

from __future__ import annotations

import re

_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def parse(text: str) -> float | None:
    """Parse `90s`, `10m` or `2h` to seconds; None for anything else."""
    match = re.fullmatch(r"(\d{1,6})([smh])", text)
    return float(int(match[1]) * _UNITS_S[match[2]]) if match else None


def in_words(seconds: float) -> str:
    """Format a duration: `40 s`, `12 min`, `2 h 5 min`, `3 days`. Never rounded up, like the page's (language.js)."""
    if seconds < 120:
        return f"{int(seconds)} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // (24 * 60)} days"
