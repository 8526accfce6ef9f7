"""Who may connect: tokens and limits in one object, so that a reload changes them for every route and event at once."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.web.clients import Networks

SHORTEST = 12
"""Characters of a token in the settings. The brake lets somebody with many addresses try one a second."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What clients must present. An empty token means that none is required."""

    viewer_token: str = ""
    """For the page's pictures and `subscribe`."""
    api_key: str = ""
    """For /v1/vision."""
    require_token: bool = False
    """Refuse cameras that have no token of their own."""
    camera_tokens: Mapping[str, str] = field(default_factory=dict)
    """By camera; for `process_frame` under its name."""
    auth: bool = True
    """False: strangers may do all but operate the device."""
    trust_loopback: bool = True
    """Programs on this device need no token."""
    health: str = "state"
    """What strangers see under /health: `state`, `full` or `none`."""
    metrics: str = "token"
    """Who sees /metrics: `token` (or a program on this device) or `anyone`."""
    name_taken: str = "replace"
    """What happens when a camera connects under a name that is in use: `replace`, `refuse` or `share`."""
    pairing: bool = True
    """Cameras without a token may ask for approval."""
    max_connections: int = 2000
    allowed_hosts: tuple[str, ...] = ()
    """Host names of this device in addition to the detected ones."""
    cors_origins: tuple[str, ...] = ()
    """Origins of other web pages that may use this device; `*`: all."""
    proxies: Networks = ()
    """Reverse proxies whose X-Forwarded-For is believed."""

    def short_tokens(self) -> tuple[str, ...]:
        """The settings whose token has fewer than SHORTEST characters."""
        tokens = {"server.viewer_token": self.viewer_token, "server.api_key": self.api_key}
        tokens |= {f"cameras.{name}.token": token for name, token in self.camera_tokens.items()}
        return tuple(setting for setting, token in tokens.items() if 0 < len(token) < SHORTEST)


class Access:
    """The rules in force. A change does not affect connected clients."""

    def __init__(self, rules: AccessRules | None = None) -> None:
        self._rules = rules or AccessRules()

    @property
    def rules(self) -> AccessRules:
        return self._rules

    def apply(self, rules: AccessRules) -> None:
        """Replace the rules in force."""
        self._rules = rules


def same(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
