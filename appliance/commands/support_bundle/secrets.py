"""Remove secrets from text. The reports contain none; this is for what others have written, such as the journal."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from appliance.redaction import hide_keys

REMOVED = "(removed)"
_LEAST_LENGTH = 4
"""Shorter values would be removed from the middle of words."""
_AFTER_SCHEME = re.compile(r"://[^\s\"']*")
_USER = re.compile(r"://[^/@:]*:")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_NAMED = re.compile(r"(?i)psk|passphrase|passw|^token$|_token$|secret|api_?key|authorization|private")
_ASSIGNED = re.compile(
    r"(?i)\b((?:wifi[_-]?)?(?:psk|passphrase|password|passwd|token|secret|api[_-]?key|authorization)\s*[=:]\s*)"
    r"(?![\"']?\(set\)|null|\"\"|''|`(?:sudo )?appliance )(?:bearer\s+)?[\"']?[^\s\"',;}&]+"
)


def remove_in_json(content: Any, known: Collection[str]) -> Any:
    """The same for the strings of parsed JSON, whose keys name secrets."""
    if isinstance(content, dict):
        return {key: _value(key, value, known) for key, value in content.items()}
    if isinstance(content, list):
        return [remove_in_json(one, known) for one in content]
    return remove(content, known) if isinstance(content, str) else content


def _value(key: str, value: Any, known: Collection[str]) -> Any:
    is_secret = isinstance(value, str) and value and _NAMED.search(key)
    return REMOVED if is_secret else remove_in_json(value, known)


def remove(text: str, known: Collection[str]) -> str:
    """Remove the known secrets, passwords in addresses, private keys, and what is named as a secret."""
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _LEAST_LENGTH:
            text = text.replace(secret, REMOVED)
    text = _KEY.sub(REMOVED, text)
    text = _AFTER_SCHEME.sub(_without_password, text)
    return _ASSIGNED.sub(rf"\1{REMOVED}", hide_keys(text))


def _without_password(address: re.Match[str]) -> str:
    """What follows the scheme, without a user and password. One expression for it all takes quadratic time."""
    text, end = address[0], address[0].rfind("@")
    user = _USER.search(text, 0, max(end, 0))
    return text if user is None else f"{text[: user.start()]}://{REMOVED}{text[end:]}"
