"""Finds a box on the local network by multicast DNS: `_appliance._tcp.local.` (RFC 6762 and 6763).

It looks again for each connection, so a box that gets another address is found there. Where several answer, the one
that was used last is taken if it still answers, otherwise the first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from typing import Any

import anyio

from appliance.camera.link import LinkLost
from appliance.errors import ConfigError
from appliance.ports import Clock

SERVICE = "_appliance._tcp.local."
_SEARCH_S = 5.0
_WAIT_FOR_LAST_S = 1.0
_RESOLVE_MS = 2000


class Finder:
    """Call it for the address of a box. Raises ConfigError at once where the zeroconf package is missing."""

    def __init__(
        self, *, interfaces: Sequence[str] | None = None, search_s: float = _SEARCH_S, clock: Clock = time.monotonic
    ) -> None:
        try:
            import zeroconf.asyncio as library
        except ImportError:
            raise ConfigError(
                "no box is named: give its address with --to http://box:8080, or, to find it by itself, "
                "pip install 'edge-detection-appliance[mdns]'"
            ) from None
        self._library: Any = library
        self._options: dict[str, Any] = {} if interfaces is None else {"interfaces": list(interfaces)}
        self._search_s, self._clock = search_s, clock
        self._last: str | None = None

    async def __call__(self) -> str:
        """`http://192.168.0.7:8080`. Raises LinkLost when no box answers within some seconds."""
        found: asyncio.Queue[str] = asyncio.Queue()

        def changed(*, name: str, state_change: Any, **_: Any) -> None:
            if state_change.name != "Removed":
                found.put_nowait(name)

        multicast = self._library.AsyncZeroconf(**self._options)
        browser = self._library.AsyncServiceBrowser(multicast.zeroconf, SERVICE, handlers=[changed])
        try:
            name, url = await self._choose(multicast, found)
        finally:
            with anyio.CancelScope(shield=True):
                await browser.async_cancel()
                await multicast.async_close()
        self._last = name
        return url

    async def _choose(self, multicast: Any, found: asyncio.Queue[str]) -> tuple[str, str]:
        boxes: dict[str, str] = {}
        begun_s = self._clock()
        while self._last not in boxes:
            until_s = _WAIT_FOR_LAST_S if boxes else self._search_s
            with anyio.move_on_after(begun_s + until_s - self._clock()):
                name = await found.get()
                url = await self._resolve(multicast, name)
                if url is not None:
                    boxes[name] = url
                    if self._last is None:
                        break
                continue
            break
        if not boxes:
            raise LinkLost("no box on this network says that it is one; is it on, and in this network? Or give --to")
        name = self._last if self._last in boxes else next(iter(boxes))
        assert name is not None
        return name, boxes[name]

    async def _resolve(self, multicast: Any, name: str) -> str | None:
        info = self._library.AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(multicast.zeroconf, _RESOLVE_MS):
            return None
        addresses = sorted(info.parsed_scoped_addresses(), key=lambda text: ":" in text)  # IPv4 first
        return url_of(addresses[0], info.port) if addresses else None


def url_of(address: str, port: int) -> str:
    """The URL of an address as multicast DNS gives it; IPv6 goes into brackets."""
    plain = address.partition("%")[0]
    return f"http://[{address}]:{port}" if ipaddress.ip_address(plain).version == 6 else f"http://{address}:{port}"
