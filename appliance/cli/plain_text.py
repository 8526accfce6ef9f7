"""Output for terminals and pipes that do not take every character.

The locale decides what Python may print: with `LC_ALL=C` it uses UTF-8, but with a locale such as `de_DE` (ISO-8859-1)
a check mark would end the command with a traceback.
"""

from __future__ import annotations

import codecs
import io
import sys

_HANDLER = "appliance_plain"
_IN_ASCII = {"✓": "ok", "✗": "FAIL", "→": "->", "…": "...", "·": "-", "°": ""}


def replace_unprintable() -> None:
    """Print what the output cannot encode in plain letters, or as a question mark."""
    codecs.register_error(_HANDLER, _in_plain_letters)
    if isinstance(sys.stdout, io.TextIOWrapper):  # stderr escapes by itself
        sys.stdout.reconfigure(errors=_HANDLER)


def _in_plain_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(one, "?") for one in lost), error.end
