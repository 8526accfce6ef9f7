"""Addresses that people write, with passwords in them: how they are shown in logs, errors and settings."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"((?<![a-z])(?:[a-z.-]*(?:pas|pwd|psw|token|secret|api_?key|auth|cred|session|sign)[a-z.-]*|pw|p|key|code|pin|sid)"
    r"(?:=|%3d))[^&\s'\"]*",
    re.IGNORECASE,
)
"""A parameter that holds a secret, wherever it stands: many cameras take `/user=admin&password=…` as a path."""


def redact(address: str) -> str:
    """An address, or what was meant to be one, without its secrets.

    It hides too much rather than too little: all from the first `:` of the user's part to the last `@`.
    """
    found = re.match(r"([a-z][a-z0-9+.-]*:/*)?", address, re.IGNORECASE) if "@" in address else None
    begin = found.end() if found and found[0].endswith("/") else 0
    rest = address[begin:]
    user, colon, secret = rest.rpartition("@")[0].partition(":")
    if colon and secret:
        rest = f"{user}:***@{rest.rpartition('@')[2]}"
    return address[:begin] + hide_parameters(rest)


def hide_parameters(text: str) -> str:
    """A text without the values of parameters that hold secrets."""
    return _SECRET.sub(r"\1***", text)
