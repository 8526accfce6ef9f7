"""Figures as a technician reads them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h`, `2 days`: the largest unit that leaves no zero before it."""
    for limit_s, unit_s, name in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes // 1_000_000:.0f} MB"


def some(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
