"""Discovery by multicast DNS, with a real advertiser on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from appliance.camera.failures import LinkLost
from appliance.camera.finder import SERVICE, Finder, url_of

LOOPBACK = ["127.0.0.1"]


@asynccontextmanager
async def advertised(*devices: tuple[str, int], addresses: Sequence[str] = LOOPBACK) -> AsyncIterator[None]:
    """Advertise devices with these names and ports."""
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    multicast = AsyncZeroconf(interfaces=LOOPBACK)
    try:
        for name, port in devices:
            info = AsyncServiceInfo(
                SERVICE,
                f"{name}.{SERVICE}",
                port=port,
                addresses=[socket.inet_aton(address) for address in addresses],
                server=f"{name}.local.",
            )
            await (await multicast.async_register_service(info))
        yield
    finally:
        await multicast.async_close()


async def test_an_advertised_device_is_found() -> None:
    async with advertised(("device", 8123)):
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8123"


async def test_a_device_with_a_new_address_is_found() -> None:
    find = Finder(interfaces=LOOPBACK)
    async with advertised(("device", 8001)):
        assert await find() == "http://127.0.0.1:8001"
    async with advertised(("device", 8002)):
        assert await find() == "http://127.0.0.1:8002"


@pytest.mark.parametrize("addresses", [("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "127.0.0.2")])
async def test_of_several_addresses_one_that_answers_is_used(addresses: tuple[str, str]) -> None:
    """A device with Docker announces the address of its bridge too, which no camera can reach."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with advertised(("device", port), addresses=addresses):
            for _ in range(2):
                assert await Finder(interfaces=LOOPBACK)() == f"http://127.0.0.1:{port}"


async def test_a_device_with_several_addresses_that_is_starting_is_found_too() -> None:
    async with advertised(("device", 9), addresses=("127.0.0.2", "127.0.0.1")):
        assert await Finder(interfaces=LOOPBACK)() in ("http://127.0.0.1:9", "http://127.0.0.2:9")


async def test_the_previous_device_is_preferred_while_it_answers() -> None:
    find = Finder(interfaces=LOOPBACK)
    async with advertised(("mine", 8001)):
        await find()
    async with advertised(("other", 8002), ("mine", 8001)):
        for _ in range(3):
            assert await find() == "http://127.0.0.1:8001"
    async with advertised(("other", 8002)):
        assert await find() == "http://127.0.0.1:8002"


async def test_an_error_says_that_no_device_was_found() -> None:
    with pytest.raises(LinkLost, match="no device found by mDNS"):
        await Finder(interfaces=LOOPBACK, search_s=0.1)()


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert url_of("192.168.0.7", 8080) == "http://192.168.0.7:8080"
    assert url_of("fe80::1%3", 8080) == "http://[fe80::1%3]:8080"
