"""Who sent a request: the address behind trusted proxies, and whether the way to it is private.

Rules of this file:
- X-Forwarded-For and X-Forwarded-Proto are believed only from `server.trusted_proxies`: any client can send them.
- The address is the last entry of X-Forwarded-For that is not a trusted proxy: the entries before it are the client's
  own claims.
- A request that a proxy on this device passes on is not local, whether that proxy is trusted or not.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Networks: TypeAlias = "tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]"

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via")


@dataclass(frozen=True, slots=True)
class Client:
    """The sender of one request."""

    address: str
    """Empty for a Unix socket."""
    local: bool
    """A program on this device, not through a proxy."""
    encrypted: bool
    """HTTPS, by this service or by a trusted proxy."""


def client_of(request: web.BaseRequest, proxies: Networks) -> Client:
    """Who sent this request."""
    peer = request.remote or ""
    forwarded = any(name in request.headers for name in _FORWARDED)
    if not is_trusted(peer, proxies):
        return Client(plain_address(peer), is_local(peer) and not forwarded, request.secure)
    entries = [entry.strip() for line in request.headers.getall("X-Forwarded-For", []) for entry in line.split(",")]
    address = next((entry for entry in reversed(entries) if not is_trusted(entry, proxies)), peer)
    scheme = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    return Client(plain_address(address), is_local(peer) and not forwarded, request.secure or scheme == "https")


def is_passed_on(request: web.BaseRequest, proxies: Networks) -> bool:
    """Whether a trusted proxy has passed this request on."""
    return "X-Forwarded-For" in request.headers and is_trusted(request.remote or "", proxies)


def networks(texts: Iterable[str]) -> Networks:
    """Parse `server.trusted_proxies`. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_trusted(address: str, proxies: Networks) -> bool:
    parsed = _parsed(address) if proxies else None
    return parsed is not None and any(parsed in network for network in proxies)


def is_local(address: str) -> bool:
    """Whether this is a loopback address or a Unix socket."""
    if not address:
        return True
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def peer_of(request: web.BaseRequest | None) -> str:
    """The other end of a connection, for the log."""
    return plain_address(request.remote or "") or "this device" if request is not None else "unknown"


def plain_address(address: str) -> str:
    """The address without brackets or port, in which some proxies write it, and an IPv4 address as one."""
    parsed = _parsed(address)
    if parsed is None:
        host = address[1:].partition("]")[0] if address.startswith("[") else address.rpartition(":")[0]
        return host if _parsed(host) is not None else address[:64]
    return str(parsed) if parsed.version == 4 else address
