"""Names that come with a model from outside: of files, of classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MOST_CLASSES = 25_000
"""ImageNet's 21,841 are the most that a public data set names."""
_LONGEST = 200
"""Bytes of a file's name, characters of a class's."""


def is_plain(name: str) -> bool:
    """Whether it names a file in a folder, and nothing outside of that: no path, nothing hidden."""
    return (
        bool(name)
        and not name.startswith(".")
        and "/" not in name
        and "\\" not in name
        and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
        and not has_control(name)
    )


def has_control(text: str) -> bool:
    """Whether a terminal or a log would take part of it for something else than text."""
    return any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text)


def shown(text: str) -> str:
    """The text for a terminal: control characters, and bytes that are no text, as escapes."""
    return "".join(one.encode("unicode_escape").decode() if has_control(one) else one for one in text)


def check_classes(names: Sequence[str]) -> str | None:
    """What is wrong with these class names, as the end of a sentence; None: nothing."""
    if not 1 <= len(names) <= MOST_CLASSES:
        return f"{len(names)} class names; 1 to {MOST_CLASSES} are possible"
    for number, name in enumerate(names):
        if len(name) > _LONGEST:
            return f"the name of class {number} is longer than {_LONGEST} characters"
        if has_control(name):
            return f"the name of class {number} has control characters: {name[:40]!r}"
    return None
