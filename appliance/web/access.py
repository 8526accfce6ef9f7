"""Who is let in: the tokens and bounds in force, asked by every door, so that a reload changes all of them at once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """What clients must show; an empty token: nothing."""

    viewer_token: str = ""
    """For the page's pictures and `subscribe`."""
    api_key: str = ""
    """For /v1/vision."""
    require_token: bool = False
    """Cameras without a token of their own are refused."""
    max_connections: int = 2000
    allowed_hosts: tuple[str, ...] = ()
    """Names of this device in addition to its own."""
    cors_origins: tuple[str, ...] = ()
    """Other web pages that may use this device; `*`: all."""


class Access:
    """The rules in force. A change does not concern clients that are connected already."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    def follow(self, rules: Rules) -> None:
        """Put other rules into force."""
        self.rules = rules


def same(given: str, expected: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
