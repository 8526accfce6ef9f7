"""Figures as a technician reads them."""

from __future__ import annotations


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes // 1_000_000:.0f} MB"


def some(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
