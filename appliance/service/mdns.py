"""Announce the device on the local network: `_appliance._tcp.local.` by multicast DNS (RFC 6762 and 6763)."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

log = logging.getLogger(__name__)

SERVICE = "_appliance._tcp.local."
_ENTRY_BYTES = 255
"""The longest entry of a TXT record, with its key and "=" (RFC 6763, section 6.1)."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the device is: its name, port and IPv4 addresses. A lease, or a person, may change it at any time."""

    host: str
    port: int
    addresses: tuple[str, ...]


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
    addresses: Callable[[], Sequence[str]],
    *,
    facts: Callable[[], Mapping[str, str]] = dict,
    refresh_s: float = 10.0,
    name: str = "",
    interfaces: Sequence[str] | None = None,
) -> None:
    """Announce this port until cancelled, then withdraw the announcement. `name`: the device's; empty: the host name.

    `addresses` and `facts`, the other entries of the TXT record, are read again every `refresh_s`, and what has changed
    is announced: after a power cut the device is often up before its network is. Without the zeroconf package it logs
    that once and returns.
    """
    try:
        from zeroconf.asyncio import AsyncZeroconf
    except ImportError:
        log.warning("server.advertise needs zeroconf: pip install 'edge-detection-appliance[mdns]'")
        return
    options: dict[str, Any] = {} if interfaces is None else {"interfaces": list(interfaces)}

    def place() -> _Place:
        host = re.sub(r"[^A-Za-z0-9-]", "-", name or socket.gethostname().split(".")[0]) or "appliance"
        return _Place(host, port, tuple(addresses()))

    complained = False
    while True:
        here = place()
        if here.addresses:
            try:
                multicast = AsyncZeroconf(**options)
            except OSError as error:
                if not complained:
                    log.warning("cannot announce the device on this network yet: %s", error)
                complained = True
            else:
                complained = False
                await _announce(multicast, here, place, facts, refresh_s)
                continue
        await asyncio.sleep(refresh_s)


async def _announce(
    multicast: AsyncZeroconf,
    here: _Place,
    place: Callable[[], _Place],
    facts: Callable[[], Mapping[str, str]],
    refresh_s: float,
) -> None:
    """Announce the device `here` until its `place` is another: the library uses the interfaces that it found first."""
    from zeroconf.asyncio import AsyncServiceInfo

    announced = txt_record({"name": here.host, **facts()})
    service: dict[str, Any] = {
        "port": here.port,
        "addresses": [socket.inet_aton(address) for address in here.addresses],
        "server": f"{here.host}.local.",
    }
    info = AsyncServiceInfo(SERVICE, f"{here.host}.{SERVICE}", properties=announced, **service)
    try:
        await multicast.async_register_service(info, allow_name_change=True)
        while True:
            await asyncio.sleep(refresh_s)
            if place() != here:
                return
            current = txt_record({"name": here.host, **facts()})
            if current != announced:
                announced = current
                info = AsyncServiceInfo(SERVICE, info.name, properties=announced, **service)
                await multicast.async_update_service(info)
    finally:
        with anyio.CancelScope(shield=True):
            await multicast.async_unregister_all_services()
            await multicast.async_close()
