"""A box that is found by multicast DNS: a real advertiser on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.camera.finder import SERVICE, Finder, url_of
from appliance.camera.link import LinkLost

LOOPBACK = ["127.0.0.1"]


@asynccontextmanager
async def advertised(*boxes: tuple[str, int]) -> AsyncIterator[None]:
    """Boxes of these names and ports, as any program would announce them."""
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    multicast = AsyncZeroconf(interfaces=LOOPBACK)
    try:
        for name, port in boxes:
            info = AsyncServiceInfo(
                SERVICE,
                f"{name}.{SERVICE}",
                port=port,
                addresses=[socket.inet_aton("127.0.0.1")],
                server=f"{name}.local.",
            )
            await (await multicast.async_register_service(info))
        yield
    finally:
        await multicast.async_close()


async def test_a_box_is_found_by_its_announcement() -> None:
    async with advertised(("box", 8123)):
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8123"


async def test_a_box_that_moved_is_found_where_it_is_now() -> None:
    find = Finder(interfaces=LOOPBACK)
    async with advertised(("box", 8001)):
        assert await find() == "http://127.0.0.1:8001"
    async with advertised(("box", 8002)):
        assert await find() == "http://127.0.0.1:8002"


async def test_the_box_of_last_time_is_kept_to_and_another_taken_only_when_it_is_gone() -> None:
    find = Finder(interfaces=LOOPBACK)
    async with advertised(("mine", 8001)):
        await find()
    async with advertised(("other", 8002), ("mine", 8001)):
        for _ in range(3):
            assert await find() == "http://127.0.0.1:8001"
    async with advertised(("other", 8002)):
        assert await find() == "http://127.0.0.1:8002"


async def test_where_no_box_answers_the_reason_is_told() -> None:
    with pytest.raises(LinkLost, match="no box on this network"):
        await Finder(interfaces=LOOPBACK, search_s=0.1)()


def test_an_ipv6_address_goes_into_brackets() -> None:
    assert url_of("192.168.0.7", 8080) == "http://192.168.0.7:8080"
    assert url_of("fe80::1%3", 8080) == "http://[fe80::1%3]:8080"
