"""Announce the device on the local network: `_appliance._tcp.local.` by multicast DNS (RFC 6762 and 6763)."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

log = logging.getLogger(__name__)

SERVICE = "_appliance._tcp.local."
_ENTRY_BYTES = 255
"""The longest entry of a TXT record, with its key and "=" (RFC 6763, section 6.1)."""


def txt_record(facts: Mapping[str, str]) -> dict[str, bytes]:
    """The entries of the TXT record: what is empty is left out, what is too long is cut between characters."""
    entries = {}
    for key, text in facts.items():
        room = _ENTRY_BYTES - len(key) - 1
        if text:
            entries[key] = text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore").encode()
    return entries


async def advertise(
    port: int,
    addresses: Sequence[str],
    *,
    facts: Callable[[], Mapping[str, str]] = dict,
    refresh_s: float = 60.0,
    name: str = "",
    interfaces: Sequence[str] | None = None,
) -> None:
    """Announce this port until cancelled, then withdraw the announcement. `name`: the device's; empty: the host name.
    `facts`: the other entries of the TXT record, read again every `refresh_s` and announced when they have changed.

    Without the zeroconf package or a network it logs that once and returns.
    """
    try:
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
    except ImportError:
        log.warning("server.advertise needs zeroconf: pip install 'edge-detection-appliance[mdns]'")
        return
    host = re.sub(r"[^A-Za-z0-9-]", "-", name or socket.gethostname().split(".")[0]) or "appliance"
    packed = [socket.inet_aton(address) for address in addresses]
    announced = txt_record({"name": host, **facts()})
    service: dict[str, Any] = {"port": port, "addresses": packed, "server": f"{host}.local."}
    info = AsyncServiceInfo(SERVICE, f"{host}.{SERVICE}", properties=announced, **service)
    options: dict[str, Any] = {} if interfaces is None else {"interfaces": list(interfaces)}
    try:
        multicast = AsyncZeroconf(**options)
    except OSError as error:
        log.warning("cannot announce the device on this network: %s", error)
        return
    try:
        await multicast.async_register_service(info, allow_name_change=True)
        while True:
            await asyncio.sleep(refresh_s)
            current = txt_record({"name": host, **facts()})
            if current != announced:
                announced = current
                info = AsyncServiceInfo(SERVICE, info.name, properties=announced, **service)
                await multicast.async_update_service(info)
    finally:
        with anyio.CancelScope(shield=True):
            await multicast.async_unregister_all_services()
            await multicast.async_close()
