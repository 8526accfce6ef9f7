"""A camera without a configured address finds a device that advertises itself."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import aiohttp
import anyio
import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from appliance.camera.finder import Finder
from appliance.service import mdns
from appliance.service.run import announced_facts
from tests.conftest import Serve

LOOPBACK = ["127.0.0.1"]


def loopback() -> list[str]:
    return LOOPBACK


async def test_a_camera_finds_an_advertised_device() -> None:
    async with anyio.create_task_group() as group:

        async def advertise() -> None:
            await mdns.advertise(8123, loopback, name="the device!", interfaces=LOOPBACK)

        group.start_soon(advertise)
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8123"
        group.cancel_scope.cancel()


async def test_two_devices_with_the_same_name_are_both_advertised() -> None:
    """As with two cards written from one image: a number is added to the second name."""
    async with anyio.create_task_group() as group:

        async def advertise(port: int) -> None:
            await mdns.advertise(port, loopback, name="device", interfaces=LOOPBACK)

        group.start_soon(advertise, 8001)
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8001"
        group.start_soon(advertise, 8002)
        found: set[str] = set()
        with anyio.fail_after(30):
            while len(found) < 2:
                found.add(await Finder(interfaces=LOOPBACK)())
        assert found == {"http://127.0.0.1:8001", "http://127.0.0.1:8002"}
        group.cancel_scope.cancel()


async def test_a_browser_reads_what_the_device_is_and_hears_of_another_model() -> None:
    facts = {"version": "1.2", "path": "/", "model": "yolo11n", "fingerprint": "ab" * 32, "sha256": "cd" * 32}
    async with anyio.create_task_group() as group:

        async def advertise() -> None:
            await mdns.advertise(
                8124, loopback, facts=lambda: dict(facts), refresh_s=0.05, name="facts", interfaces=LOOPBACK
            )

        group.start_soon(advertise)
        multicast = AsyncZeroconf(interfaces=LOOPBACK)
        try:
            await read_until({**facts, "name": "facts"}, multicast)
            facts["model"] = "another"
            await read_until({**facts, "name": "facts"}, multicast)
        finally:
            await multicast.async_close()
        group.cancel_scope.cancel()


async def test_a_device_whose_network_comes_late_or_changes_is_found() -> None:
    """After a power cut the device is up before its switch; a lease may give it another address later."""
    addresses: list[str] = []
    async with anyio.create_task_group() as group:

        async def advertise() -> None:
            await mdns.advertise(8125, lambda: addresses, refresh_s=0.05, name="late", interfaces=LOOPBACK)

        group.start_soon(advertise)
        await anyio.sleep(0.2)
        multicast = AsyncZeroconf(interfaces=LOOPBACK)
        try:
            for expected in ("192.0.2.7", "192.0.2.8"):
                addresses[:] = [expected]
                with anyio.fail_after(30):
                    while await addresses_of("late", multicast) != [expected]:
                        await anyio.sleep(0.05)
        finally:
            await multicast.async_close()
        group.cancel_scope.cancel()


async def test_a_network_that_refuses_multicast_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    class NoNetwork:
        def __init__(self, **options: object) -> None:
            tries.append(len(tries))
            raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf", NoNetwork)
    with anyio.move_on_after(5):
        async with anyio.create_task_group() as group:

            async def advertise() -> None:
                await mdns.advertise(8126, loopback, refresh_s=0.01, interfaces=LOOPBACK)

            group.start_soon(advertise)
            while len(tries) < 3:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert len(tries) >= 3
    assert caplog.text.count("cannot announce the device") == 1


async def addresses_of(name: str, multicast: AsyncZeroconf) -> list[str]:
    info = AsyncServiceInfo(mdns.SERVICE, f"{name}.{mdns.SERVICE}")
    return info.parsed_addresses() if await info.async_request(multicast.zeroconf, 1000) else []


async def read_until(expected: dict[str, str], multicast: AsyncZeroconf) -> None:
    with anyio.fail_after(30):
        while True:
            info = AsyncServiceInfo(mdns.SERVICE, f"facts.{mdns.SERVICE}")
            if await info.async_request(multicast.zeroconf, 1000) and info.decoded_properties == expected:
                return
            await anyio.sleep(0.05)


def test_a_long_model_name_is_cut_between_characters_and_an_empty_entry_left_out() -> None:
    entries = mdns.txt_record({"model": "é" * 200, "fingerprint": ""})
    assert entries == {"model": ("é" * 124).encode()}


async def test_links_md_lists_what_the_service_announces_and_the_path_is_that_of_the_page(serve: Serve) -> None:
    text = (Path(__file__).parents[2] / "docs" / "links.md").read_text(encoding="utf-8").split("\n## mDNS\n")[1]
    async with serve() as running:
        facts = announced_facts(running.started.parts)
        assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {"name", *facts}
        async with aiohttp.ClientSession(running.url) as session, session.get(facts["path"]) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
