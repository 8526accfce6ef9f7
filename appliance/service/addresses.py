"""Where a browser finds the page."""

from __future__ import annotations

import psutil


def addresses(host: str, port: int) -> list[str]:
    """The page's addresses on a service that listens on `host`, this machine's own first."""
    if host not in ("0.0.0.0", "::", ""):
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    return [f"http://{name}:{port}/" for name in ("127.0.0.1", *ipv4_addresses())]


def addresses_from_outside(host: str, port: int) -> list[str]:
    """The page's addresses for another machine on its networks; empty while there is none."""
    return [address for address in addresses(host, port) if not address.startswith(("http://127.", "http://[::1]"))]


def ipv4_addresses() -> list[str]:
    """This machine's on its networks."""
    return [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family.name == "AF_INET" and not address.address.startswith("127.")
    ]
