"""Remove passwords and keys from addresses before they are shown in logs, errors and settings."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"((?<![a-z])(?:[a-z.-]{0,32}(?:pas|pwd|psw|token|secret|api_?key|auth|cred|session|sign)[a-z.-]{0,32}|"
    r"pw|p|key|code|pin|sid)(?:=|%3d))[^&\s'\"]*",
    re.IGNORECASE,
)
"""A parameter with a secret, also outside the query: many cameras accept `/user=admin&password=…` as a path. The limits
of 32 keep the time in proportion to a text that others have written.
"""

_TOO_SHORT_TO_FIND = 12
"""Shorter paths, such as /hook, are not searched for in other texts, because they would match by chance."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,15}://[^\s\"'<>]+", re.IGNORECASE)
_KEY_IN_PATH = re.compile(
    r"(?<=[^/]/)(?=[^/?#]*[0-9])(?=[^/?#]*[a-z])(?:[a-z0-9]{16,}|[a-z0-9_-]{24,})(?=[/?#&.,;:)]|$)", re.IGNORECASE
)
"""A part of a path that looks made by a machine: webhooks and some cameras (UniFi) have no other secret. What
people name, such as `h264Preview_01_main`, is shorter or has an underscore."""


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
    return hide_keys(address[:begin] + rest)


def hide_keys(text: str) -> str:
    """Replace the values of parameters that hold secrets, and what looks like a key in the path of an address."""
    text = _SECRET.sub(r"\1***", text)
    return _ADDRESS.sub(lambda address: _KEY_IN_PATH.sub("***", address[0]), text)


def origin(address: str) -> str:
    """Scheme and host only, for an address whose path is a secret in itself, such as that of a webhook."""
    scheme, host, rest = _parts(address)
    return f"{scheme}{host}/***" if rest.strip("/") else f"{scheme}{host}"


def secrets_of_origin(address: str) -> list[str]:
    """What `origin` leaves out, as it may stand in other texts."""
    _, host, rest = _parts(address)
    if not rest.strip("/"):
        return []
    return [f"{host}{rest}", rest][: 2 if len(rest) >= _TOO_SHORT_TO_FIND else 1]


def _parts(address: str) -> tuple[str, str, str]:
    """The scheme, the host without user and password, and all that follows."""
    match = re.match(r"([a-z][a-z0-9+.-]*:/*)?", address, re.IGNORECASE)
    scheme = match[0] if match and match[0].endswith("/") else ""
    rest = address[len(scheme) :].rpartition("@")[2] if _has_user(address) else address[len(scheme) :]
    host = re.match(r"[^/?#\s]*", rest)
    return scheme, host[0] if host else "", rest[len(host[0]) if host else 0 :]


def _has_user(address: str) -> bool:
    """Whether a user precedes the host; in doubt yes, which hides more."""
    return "@" in re.split(r"[?#]", address)[0]
