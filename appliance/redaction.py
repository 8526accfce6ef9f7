"""Remove passwords from addresses before they are shown in logs, errors and settings."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"((?<![a-z])(?:[a-z.-]*(?:pas|pwd|psw|token|secret|api_?key|auth|cred|session|sign)[a-z.-]*|pw|p|key|code|pin|sid)"
    r"(?:=|%3d))[^&\s'\"]*",
    re.IGNORECASE,
)
"""A parameter with a secret, also outside the query: many cameras accept `/user=admin&password=…` as a path."""


def redact(address: str) -> str:
    """Replace the secrets in an address, which may be malformed.

    In doubt it hides too much: everything from the first `:` of the user part to the last `@`.
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]*:/*)?", address, re.IGNORECASE) if "@" in address else None
    begin = scheme.end() if scheme and scheme[0].endswith("/") else 0
    rest = address[begin:]
    user, colon, secret = rest.rpartition("@")[0].partition(":")
    if colon and secret:
        rest = f"{user}:***@{rest.rpartition('@')[2]}"
    return address[:begin] + hide_parameters(rest)


def hide_parameters(text: str) -> str:
    """Replace the values of parameters that hold secrets."""
    return _SECRET.sub(r"\1***", text)
