"""A box that announces itself is found by a camera that was told no address."""

from __future__ import annotations

import anyio

from appliance.camera.finder import Finder
from appliance.service import mdns

LOOPBACK = ["127.0.0.1"]


async def test_a_camera_finds_the_box_that_announces_itself() -> None:
    async with anyio.create_task_group() as group:

        async def announce() -> None:
            await mdns.advertise(8123, LOOPBACK, name="the box!", interfaces=LOOPBACK)

        group.start_soon(announce)
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8123"
        group.cancel_scope.cancel()


async def test_two_boxes_of_one_name_are_both_announced() -> None:
    """Two cards written from one image: the second one takes a number."""
    async with anyio.create_task_group() as group:

        async def announce(port: int) -> None:
            await mdns.advertise(port, LOOPBACK, name="box", interfaces=LOOPBACK)

        group.start_soon(announce, 8001)
        assert await Finder(interfaces=LOOPBACK)() == "http://127.0.0.1:8001"
        group.start_soon(announce, 8002)
        found: set[str] = set()
        with anyio.fail_after(30):
            while len(found) < 2:
                found.add(await Finder(interfaces=LOOPBACK)())
        assert found == {"http://127.0.0.1:8001", "http://127.0.0.1:8002"}
        group.cancel_scope.cancel()
