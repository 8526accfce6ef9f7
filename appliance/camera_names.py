"""The rule for camera names, which appear in logs, metrics, journal fields, URLs, file names and HTML.

A name is 1 to 64 printable Unicode characters in the normal form NFC. Control characters, characters that change the
direction of text (bidi overrides) and invisible ones are not printable: two names that look alike must be equal, and a
name must not rearrange the line of a log. Names that begin with `http-` or `_` belong to the service.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 64
"""Characters."""
HTTP_PREFIX = "http-"
"""The start of the names of HTTP clients that give none."""
RULE = (
    f"use 1 to {LONGEST} printable characters: letters of any language, digits, spaces, punctuation. "
    f"A name may not start with '{HTTP_PREFIX}' or '_'"
)

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Printable by their Unicode category, but invisible."""
_SPACES = re.compile(r"[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_MOST_GIVEN = 4 * LONGEST
"""Characters of a name before normalisation; some decompose into four."""


def normal(name: object) -> str | None:
    """A camera's name in its normal form: NFC, without spaces at the ends or in a row. None: it is invalid."""
    if not isinstance(name, str) or len(name) > _MOST_GIVEN:
        return None
    name = _SPACES.sub(" ", unicodedata.normalize("NFC", name)).strip(" ")
    if not 0 < len(name) <= LONGEST or not name.isprintable() or not _BLANK.isdisjoint(name):
        return None
    if unicodedata.combining(name[0]) or not name.strip("."):  # the mark of a letter in front; `..` in a URL
        return None
    return None if is_of_service(name) else name


def is_of_service(name: str) -> bool:
    """Whether the service has made up this name. Its pictures may show anything: those of an HTTP client that gives no
    name may come from several cameras."""
    return name.startswith((HTTP_PREFIX, "_"))


def looked_up(name: object) -> str | None:
    """The normal form of a name that is asked for, which may also be that of an HTTP client that gave none."""
    if isinstance(name, str) and name.startswith(HTTP_PREFIX):
        rest = normal(name.removeprefix(HTTP_PREFIX))
        return None if rest is None else HTTP_PREFIX + rest
    return normal(name)
