"""Events over Socket.IO: for subscribers, through reconnects, and with slow readers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from appliance.events.outbox import EventOutbox
from appliance.web.publisher import Publisher
from tests.conftest import Serve
from tests.events.sights import event
from tests.links.showing import FAST, SIGN, appear, show
from tests.web.camera import Camera, camera
from tests.web.requests import picture


def received(one: Camera) -> list[tuple[str, str]]:
    return [(payload["id"], payload["type"]) for name, payload in one.heard if name == "event"]


async def test_a_subscriber_gets_the_start_and_the_end_of_each_object(serve: Serve) -> None:
    async with serve(**FAST) as running, camera(running.url, "gate") as gate, camera(running.url) as viewer:
        await viewer.call("subscribe", {"cameras": ["gate"]})
        await appear(running, gate)
        await viewer.nth("event", 2)
        start, end = (payload for name, payload in viewer.heard if name == "event")
        assert (start["type"], end["type"], end["reason"]) == ("start", "end", "left")
        assert start["id"] == end["id"]
        assert set(start) == {
            "type", "id", "camera", "name", "class", "confidence", "top_confidence", "box", "image_size", "zones",
            "entered", "left", "dwell", "start_time", "time", "duration", "picture", "cursor",
        }  # fmt: skip
        assert start["camera"] == "gate"
        assert start["name"] == "stop sign"
        assert start["image_size"] == {"width": 640, "height": 360}
        assert not received(gate)  # it did not subscribe


async def test_a_returning_subscriber_misses_nothing_and_gets_nothing_twice(serve: Serve) -> None:
    async with serve(**FAST) as running, camera(running.url, "gate") as gate:
        async with camera(running.url) as viewer:
            await viewer.call("subscribe", {"cameras": "*"})
            await show(running, gate, SIGN)
            start = await viewer.first("event")
        await appear(running, gate)  # meanwhile the first object goes, and others come and go
        await appear(running, gate)
        async with camera(running.url) as viewer:
            answer = await viewer.call("subscribe", {"cameras": "*", "after": start["cursor"]})
            assert answer == {"status": "subscribed", "cameras": ["*"], "resumed": True}
            await viewer.nth("event", 3)
            events = received(viewer)
            assert events[0] == (start["id"], "end")
            assert [kind for _, kind in events] == ["end", "start", "end"]
            assert len(set(events)) == 3


async def test_a_new_subscriber_is_told_what_is_present(serve: Serve) -> None:
    async with serve(**FAST) as running, camera(running.url, "gate") as gate:
        await show(running, gate, SIGN)
        async with camera(running.url) as viewer:
            answer = await viewer.call("subscribe", {"cameras": ["gate"], "after": "unknown"})
            assert answer["resumed"] is False
            start = await viewer.first("event")
            await viewer.call("subscribe", {"cameras": "*"})
            await appear(running, gate)
            await viewer.nth("event", 2)
            assert received(viewer) == [(start["id"], "start"), (start["id"], "end")]


async def test_the_best_picture_of_an_event_is_served_where_pictures_are_kept(serve: Serve) -> None:
    for keep, status in (("true", 200), ("false", 404)):
        async with (
            serve(**FAST, **{"server.keep_pictures": keep}) as running,
            camera(running.url, "gate") as gate,
            camera(running.url) as viewer,
            aiohttp.ClientSession(running.url) as session,
        ):
            await viewer.call("subscribe", {"cameras": ["gate"]})
            await appear(running, gate)
            start = await viewer.first("event")
            path = start["picture"] or f"/events/{start['id']}/picture.jpg"
            async with session.get(path) as answer:
                assert answer.status == status
                assert (await answer.read() == picture(1)) is (status == 200)


async def test_events_stop_when_they_are_switched_off(serve: Serve) -> None:
    async with (
        serve(**(FAST | {"events.enabled": "false"})) as running,
        camera(running.url, "gate") as gate,
        camera(running.url) as viewer,
    ):
        await viewer.call("subscribe", {"cameras": ["gate"]})
        await appear(running, gate)
        await viewer.first("detection_results")
        assert received(viewer) == []


def publisher(emit: Callable[[str, Any, str], Awaitable[None]]) -> Publisher:
    return Publisher(emit=emit, backlog=lambda sid: 0)


async def test_results_never_push_events_out_of_the_outbox_of_a_slow_reader() -> None:
    sent: list[str] = []

    async def emit(name: str, payload: Any, sid: str) -> None:
        sent.append(name)

    slow = publisher(emit)
    slow.join("a", "viewer")
    slow.subscribe("a", ["gate"])
    slow.post_event(event("x", "start"))
    for _ in range(1000):
        slow.post("a", "detection_results", {})
    slow.post_event(event("x", "end"))
    await slow._deliver("a")
    assert sent[:2] == ["event", "event"]
    assert len(sent) == 2 + 32


async def test_events_of_a_client_that_never_reads_are_bounded_and_counted() -> None:
    async def emit(name: str, payload: Any, sid: str) -> None:
        raise AssertionError("nothing is sent")

    stuck = Publisher(emit=emit, backlog=lambda sid: 99)
    stuck.join("a", "viewer")
    stuck.subscribe("a", ["*"])
    for number in range(1000):
        stuck.post_event(event(f"{number}", "start"))
        stuck.post_event(event(f"{number}", "end"))
    waiting: EventOutbox = stuck._clients["a"].events
    assert len(waiting) <= 128
    assert stuck.dropped == 2000 - len(waiting)
