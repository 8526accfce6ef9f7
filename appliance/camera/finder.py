"""Find a device on the local network by multicast DNS: `_appliance._tcp.local.` (RFC 6762 and 6763).

The search runs for each connection, so that it finds a device with a new address. If several devices answer, the one
used last is preferred, otherwise the first. Of the addresses of one device, the first that accepts a connection is
used: a device announces those of all its interfaces, and a camera can reach some of them.

The announced key is what the agent expects in the device's certificate. Multicast DNS itself proves nothing: who is on
the network can announce another device, so a URL with a pin is safer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Sequence
from typing import Any

import anyio

from appliance.camera.failures import LinkLost
from appliance.errors import ConfigError
from appliance.ports import Clock
from appliance.tls import pin

SERVICE = "_appliance._tcp.local."
KEY_PIN = "sha256"
"""The name in the TXT record of the SHA-256 of the device's key."""
_SEARCH_S = 5.0
_WAIT_FOR_LAST_S = 1.0
_RESOLVE_MS = 2000
_ACCEPTS_WITHIN_S = 1.0


class Finder:
    """A callable that returns the URL of a device. Raises ConfigError at once if the zeroconf package is missing."""

    def __init__(
        self, *, interfaces: Sequence[str] | None = None, search_s: float = _SEARCH_S, clock: Clock = time.monotonic
    ) -> None:
        try:
            import zeroconf.asyncio as library
        except ImportError:
            raise ConfigError(
                "no device given. Give its URL with --to https://device:8080#sha256=…, or install mDNS discovery: "
                "pip install 'edge-detection-appliance[mdns]'"
            ) from None
        self._library: Any = library
        self._options: dict[str, Any] = {} if interfaces is None else {"interfaces": list(interfaces)}
        self._search_s, self._clock = search_s, clock
        self._last: str | None = None

    async def __call__(self) -> str:
        """`https://192.168.0.7:8080#sha256=…`. Raises LinkLost when no device answers within a few seconds."""
        names: asyncio.Queue[str] = asyncio.Queue()

        def changed(*, name: str, state_change: Any, **_: Any) -> None:
            if state_change.name != "Removed":
                names.put_nowait(name)

        multicast = self._library.AsyncZeroconf(**self._options)
        browser = self._library.AsyncServiceBrowser(multicast.zeroconf, SERVICE, handlers=[changed])
        try:
            name, url = await self._choose(multicast, names)
        finally:
            with anyio.CancelScope(shield=True):
                await browser.async_cancel()
                await multicast.async_close()
        self._last = name
        return url

    async def _choose(self, multicast: Any, names: asyncio.Queue[str]) -> tuple[str, str]:
        devices: dict[str, str] = {}
        begun_s = self._clock()
        while self._last not in devices:
            until_s = _WAIT_FOR_LAST_S if devices else self._search_s
            with anyio.move_on_after(begun_s + until_s - self._clock()):
                name = await names.get()
                url = await self._resolve(multicast, name)
                if url is not None:
                    devices[name] = url
                    if self._last is None:
                        break
                continue
            break
        if not devices:
            raise LinkLost(
                "no device found by mDNS. Check that it is on, in this network, and has server.advertise; or use --to"
            )
        name = self._last if self._last in devices else next(iter(devices))
        assert name is not None
        return name, devices[name]

    async def _resolve(self, multicast: Any, name: str) -> str | None:
        info = self._library.AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(multicast.zeroconf, _RESOLVE_MS):
            return None
        addresses = sorted(info.parsed_scoped_addresses(), key=lambda text: ":" in text)  # IPv4 first
        announced = (info.properties or {}).get(KEY_PIN.encode()) or b""
        if not addresses:
            return None
        address = await _reachable(addresses, info.port) or addresses[0]
        return url_of(address, info.port, announced.decode("ascii", "replace"))


async def _reachable(addresses: Sequence[str], port: int) -> str | None:
    """Of several addresses the first that accepts a connection; None: none does in time. A single one is not tried."""
    if len(addresses) == 1:
        return addresses[0]
    accepted: list[str] = []

    async def attempt(address: str) -> None:
        if await _accepts(address, port):
            accepted.append(address)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for address in addresses:
            group.start_soon(attempt, address)
    return accepted[0] if accepted else None


async def _accepts(address: str, port: int) -> bool:
    """Whether this address accepts a connection."""
    with anyio.move_on_after(_ACCEPTS_WITHIN_S), contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(address, port)
        writer.close()
        return True
    return False


def url_of(address: str, port: int, key_pin: str = "") -> str:
    """Format an address from multicast DNS as a URL, with brackets for IPv6; HTTPS if a key is announced."""
    plain = address.partition("%")[0]
    host = f"[{address}]" if ipaddress.ip_address(plain).version == 6 else address
    return pin.with_pin(f"https://{host}:{port}", key_pin) if key_pin else f"http://{host}:{port}"
