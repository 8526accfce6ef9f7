"""Checks for the names in an untrusted model: files and classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MOST_CLASSES = 25_000
"""The largest public data set, ImageNet, has 21,841."""
_LONGEST = 200
"""Upper bound for a file name (bytes) and a class name (characters)."""


def is_plain(name: str) -> bool:
    """Whether this is a plain file name: no path, not hidden, no control characters."""
    return (
        bool(name)
        and not name.startswith(".")
        and "/" not in name
        and "\\" not in name
        and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
        and not has_control(name)
    )


def has_control(text: str) -> bool:
    """Whether the text contains control characters, which a terminal or a log would interpret."""
    return any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text)


def shown(text: str) -> str:
    """The text, safe for a terminal: control characters and undecodable bytes are escaped."""
    return "".join(one.encode("unicode_escape").decode() if has_control(one) else one for one in text)


def check_classes(names: Sequence[str]) -> str | None:
    """What is wrong with these class names; None: nothing."""
    if not 1 <= len(names) <= MOST_CLASSES:
        return f"{len(names)} class names, expected 1 to {MOST_CLASSES}"
    for number, name in enumerate(names):
        if len(name) > _LONGEST:
            return f"the name of class {number} is longer than {_LONGEST} characters"
        if has_control(name):
            return f"the name of class {number} contains control characters: {name[:40]!r}"
    return None
