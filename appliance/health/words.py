"""Figures and lists as text, for findings."""

from __future__ import annotations


def megabytes(size_bytes: float) -> str:
    """Format a size: `512 MB`."""
    return f"{size_bytes // 1_000_000:.0f} MB"


def some(names: list[str], most: int = 5) -> str:
    """List the first names and count the rest: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
