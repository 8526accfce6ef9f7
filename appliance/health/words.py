"""Figures and lists as text, for findings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from appliance.durations import in_words
from appliance.health.finding import FindingValue

_PLACE = re.compile(r"\{(\w+)\}")
_MOST_NAMES = 5


def fill(template: str, values: Mapping[str, FindingValue]) -> str:
    """Put values into the `{places}` of a text, each formatted by the unit in its name.

    A place without a value stays as it is. The page does the same in other languages: page/language.js.
    """
    return _PLACE.sub(lambda place: _text(place[1], values[place[1]]) if place[1] in values else place[0], template)


def _text(name: str, value: FindingValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return some(value)
    unit = name.rpartition("_")[2]
    if unit == "c":
        return f"{value:.0f} °C"
    if unit == "percent":
        return f"{value:.0f} %"
    if unit == "bytes":
        return megabytes(value)
    return in_words(value) if unit == "s" else str(value)


def counted(count: int, one: str, many: str) -> str:
    """A number and what it counts: `1 time`, `3 times`."""
    return f"{count} {one if count == 1 else many}"


def megabytes(size_bytes: float) -> str:
    """Format a size: `512 MB`."""
    return f"{size_bytes // 1_000_000:.0f} MB"


def some(names: Sequence[str]) -> str:
    """List the first names and count the rest: `a, b, c, d, e and 3 more`."""
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
