"""Announce the device on the local network: `_appliance._tcp.local.` by multicast DNS (RFC 6762 and 6763)."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Sequence
from typing import Any

import anyio

log = logging.getLogger(__name__)

SERVICE = "_appliance._tcp.local."


async def advertise(
    port: int,
    addresses: Sequence[str],
    *,
    key_pin: str = "",
    name: str = "",
    interfaces: Sequence[str] | None = None,
) -> None:
    """Announce this port until cancelled, then withdraw the announcement. `name`: the device's; empty: the host name.
    `key_pin`: SHA-256 of the key that the port presents over HTTPS.

    Without the zeroconf package or a network it logs that once and returns.
    """
    try:
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
    except ImportError:
        log.warning("server.advertise needs zeroconf: pip install 'edge-detection-appliance[mdns]'")
        return
    host = re.sub(r"[^A-Za-z0-9-]", "-", name or socket.gethostname().split(".")[0]) or "appliance"
    packed = [socket.inet_aton(address) for address in addresses]
    info = AsyncServiceInfo(
        SERVICE,
        f"{host}.{SERVICE}",
        port=port,
        addresses=packed,
        server=f"{host}.local.",
        properties={"sha256": key_pin} if key_pin else {},
    )
    options: dict[str, Any] = {} if interfaces is None else {"interfaces": list(interfaces)}
    try:
        multicast = AsyncZeroconf(**options)
    except OSError as error:
        log.warning("cannot announce the device on this network: %s", error)
        return
    try:
        await multicast.async_register_service(info, allow_name_change=True)
        await asyncio.Event().wait()
    finally:
        with anyio.CancelScope(shield=True):
            await multicast.async_unregister_all_services()
            await multicast.async_close()
