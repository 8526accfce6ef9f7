"""A camera without a configured address finds a device that advertises itself."""

from __future__ import annotations

import anyio

from appliance.camera.finder import Finder
from appliance.service import mdns

LOOPBACK = ["127.0.0.1"]


async def test_a_camera_finds_an_advertised_device() -> None:
    async with anyio.create_task_group() as group:

        async def advertise() -> None:
            await mdns.advertise(8123, LOOPBACK, name="the device!", interfaces=LOOPBACK)

        group.start_soon(advertise)
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8123"
        group.cancel_scope.cancel()


async def test_two_devices_with_the_same_name_are_both_advertised() -> None:
    """As with two cards written from one image: a number is added to the second name."""
    async with anyio.create_task_group() as group:

        async def advertise(port: int) -> None:
            await mdns.advertise(port, LOOPBACK, name="device", interfaces=LOOPBACK)

        group.start_soon(advertise, 8001)
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8001"
        group.start_soon(advertise, 8002)
        found: set[str] = set()
        with anyio.fail_after(30):
            while len(found) < 2:
                found.add(await Finder(interfaces=LOOPBACK)())
        assert found == {"http://127.0.0.1:8001", "http://127.0.0.1:8002"}
        group.cancel_scope.cancel()
