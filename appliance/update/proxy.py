"""The HTTP proxy of a site, through which a device reaches its releases.

The proxy sees the name of the server and nothing else: the connection to it is a tunnel, and the server's certificate
is checked as without one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

VARIABLES = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
"""The usual variables of the environment; those in lower case come first."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy is, what it is sent to let this device through, and for which hosts it is not used."""

    host: str
    port: int
    headers: Mapping[str, str]
    not_for: str = ""
    """As in `no_proxy`: hosts and domains separated by commas, or `*`."""

    def serves(self, host: str) -> bool:
        names = [name.strip().lstrip(".").lower() for name in self.not_for.split(",")]
        return not any(name and (name == "*" or f".{host.lower()}".endswith(f".{name}")) for name in names)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def find(setting: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that a setting names, otherwise the environment; None: there is none. Raises ValueError."""
    if setting:
        return read(setting)
    secure, upper, none, none_upper = (environ.get(name, "") for name in VARIABLES)
    return read(secure or upper, none or none_upper) if secure or upper else None


def read(address: str, not_for: str = "") -> Proxy:
    """A proxy from `http://user:password@host:port`; without a scheme in many environments. Raises ValueError."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("a proxy must have the form http://HOST:PORT")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, parts.port or 80, headers, not_for)
