"""Which settings are secrets, and how a setting is shown without them: the page shows settings and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from appliance.redaction import origin, redact, secrets_of_origin

SECRETS = ("token", "viewer_token", "api_key", "password", "secret")
SECRET_ADDRESSES = ("url",)
"""Addresses whose path lets everyone who knows it in: of webhooks."""


def shown(key: str, value: Any) -> Any:
    """A value without secrets, or a list of such values. `key`: its name."""
    if isinstance(value, (tuple, list)):
        return type(value)(shown(key, one) for one in value)
    if key in SECRETS and value:
        return "(set)"
    if not isinstance(value, str):
        return value
    return origin(value) if key in SECRET_ADDRESSES else redact(value)


def secrets_of(value: Any, key: str = "") -> Iterator[str]:
    """All secrets in settings, or in the tree of one source. `key`: the name of this value."""
    if isinstance(value, Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from secrets_of(one, name)
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from secrets_of(one, key)
    elif key in SECRETS and isinstance(value, str) and value:
        yield value
    elif key in SECRET_ADDRESSES and isinstance(value, str):
        yield from secrets_of_origin(value)
