"""The addresses of the page."""

from __future__ import annotations

import psutil


def addresses(host: str, port: int) -> list[str]:
    """The page's URLs for a service that listens on `host`, loopback first."""
    if host not in ("0.0.0.0", "::", ""):
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    return [f"http://{name}:{port}/" for name in ("127.0.0.1", *ipv4_addresses())]


def addresses_from_outside(host: str, port: int) -> list[str]:
    """The page's URLs for other machines on the network; empty if there is no network."""
    return [address for address in addresses(host, port) if not address.startswith(("http://127.", "http://[::1]"))]


def ipv4_addresses() -> list[str]:
    """This machine's IPv4 addresses, without loopback."""
    return [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family.name == "AF_INET" and not address.address.startswith("127.")
    ]
