"""The addresses of the page."""

from __future__ import annotations

import psutil


def addresses(host: str, port: int, *, tls: bool = False) -> list[str]:
    """The page's URLs for a service that listens on `host`, loopback first. `tls`: other machines must use HTTPS."""
    scheme = "https" if tls else "http"
    if host not in ("0.0.0.0", "::", ""):
        return [f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"]
    return [f"http://127.0.0.1:{port}/", *(f"{scheme}://{address}:{port}/" for address in ipv4_addresses())]


def addresses_from_outside(host: str, port: int, *, tls: bool = False) -> list[str]:
    """The page's URLs for other machines on the network; empty if there is no network."""
    return [url for url in addresses(host, port, tls=tls) if not url.partition("://")[2].startswith(("127.", "[::1]"))]


def ipv4_addresses() -> list[str]:
    """This machine's IPv4 addresses, without loopback."""
    return [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family.name == "AF_INET" and not address.address.startswith("127.")
    ]
