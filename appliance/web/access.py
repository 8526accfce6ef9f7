"""What strangers must show: one object that every door asks, so that a reload changes all of them at once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


@dataclass(slots=True)
class Access:
    """Tokens and bounds, as the settings have them now; who is inside already stays. Empty: nothing is asked."""

    viewer_token: str = ""
    """For the page's pictures and `subscribe`."""
    api_key: str = ""
    """For /v1/vision."""
    require_token: bool = False
    """Cameras without a token of their own stay out."""
    max_connections: int = 2000
    allowed_hosts: tuple[str, ...] = ()
    """Names of this device beyond its own."""
    cors_origins: tuple[str, ...] = ()
    """Other web pages that may use it; `*` is every one."""


def same(given: str, expected: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
